import { parseDer } from '../der/der-reader.js';
import { der } from '../der/der-writer.js';
import { dns, sequence, tlv } from '../../../../test/support/csr.js';
import { dnsName, emailAddress, ipAddress, uri } from '../name/general-name.js';
import { NameConstraints } from './name-constraints.js';
import { nameConstraintsSchema } from './name-constraints-schema.js';

const none = { dns: [], ip: [] };
const written = (constraints: NameConstraints): NameConstraints =>
  NameConstraints.read(parseDer(der((writer) => constraints.write(writer))));
const constraints = written(
  NameConstraints.of({
    permitted: { dns: ['Example.test'], ip: ['10.1.2.3/8', '2001:db8::/33'] },
    excluded: { dns: ['secret.example.test'], ip: ['10.9.0.0/16'] },
  }),
);

test.each([
  ['example.test', true],
  ['a.b.example.test', true],
  ['badexample.test', false],
  ['test', false],
  ['secret.example.test', false],
  ['a.secret.example.test', false],
  ['*.example.test', false],
  ['*.a.example.test', true],
  ['*.secret.example.test', false],
])('%s %s', (name, permitted) => {
  expect(constraints.permits(dnsName(name))).toBe(permitted);
});

test.each([
  ['10.0.0.1', true],
  ['10.9.0.1', false],
  ['11.0.0.1', false],
  ['2001:db8:7fff::1', true],
  ['2001:db8:8000::1', false],
])('%s %s', (address, permitted) => {
  expect(constraints.permits(ipAddress(address))).toBe(permitted);
});

test('a kind of name without permitted subtrees is free but for the excluded', () => {
  const excluding = written(NameConstraints.of({ permitted: none, excluded: { dns: ['bad.test'], ip: [] } }));
  expect(excluding.permits(dnsName('good.test'))).toBe(true);
  expect(excluding.permits(dnsName('a.bad.test'))).toBe(false);
  expect(excluding.permits(ipAddress('8.8.8.8'))).toBe(true);
});

test('a kind of name it cannot check fails closed', () => {
  const registeredId = der((writer) =>
    writer.sequence(() =>
      writer.constructed(0xa0, () => writer.sequence(() => writer.primitive(0x88, Buffer.from('a.test')))),
    ),
  );
  expect(() => NameConstraints.read(parseDer(registeredId))).toThrow(
    expect.objectContaining({ code: 'ERR_CA_ISSUER_UNUSABLE' }) as Error,
  );
});

describe('mailboxes and URIs', () => {
  const of = written(
    NameConstraints.of({
      permitted: { email: ['example.test', '.dept.test', 'ada@other.test'], uri: ['.mesh.test', 'api.test'] },
      excluded: { uri: ['bad.mesh.test'] },
    }),
  );

  test.each([
    ['a@example.test', true],
    ['a@sub.example.test', false],
    ['a@x.dept.test', true],
    ['a@dept.test', false],
    ['ada@other.test', true],
    ['Ada@other.test', false],
  ])('%s %s', (mailbox, permitted) => {
    expect(of.permits(emailAddress(mailbox))).toBe(permitted);
  });

  test.each([
    ['spiffe://a.mesh.test/x', true],
    ['spiffe://bad.mesh.test/x', false],
    ['spiffe://mesh.test/x', false],
    ['https://api.test/', true],
    ['https://192.0.2.1/', false],
    ['urn:uuid:1', false],
  ])('%s %s', (text, permitted) => {
    expect(of.permits(uri(text))).toBe(permitted);
  });

  test('an address as host is outside, even if constraints only exclude', () => {
    const excluding = NameConstraints.of({ excluded: { uri: ['bad.test'] } });
    expect([excluding.permits(uri('https://good.test/')), excluding.permits(uri('https://192.0.2.1/'))]).toEqual([true, false]); // prettier-ignore
  });
});

test('an empty name excludes every one of its kind', () => {
  const [dnsTag, emailTag] = [0x82, 0x81];
  const all = (tag: number) => sequence(tlv(0xa1, sequence(tlv(tag, Buffer.alloc(0)))));
  expect(NameConstraints.read(parseDer(all(dnsTag))).permits(dnsName('a.test'))).toBe(false);
  const noMail = NameConstraints.read(parseDer(all(emailTag)));
  expect([noMail.permits(emailAddress('a@a.test')), noMail.permits(dnsName('a.test'))]).toEqual([false, true]);
});

test("a leading dot in another's certificate means every name below", () => {
  const subtree = sequence(tlv(0xa1, sequence(dns('.evil.test'))));
  const excluding = NameConstraints.read(parseDer(subtree));
  expect(['a.evil.test', 'a.b.evil.test', 'good.test'].map((name) => excluding.permits(dnsName(name)))).toEqual([false, false, true]); // prettier-ignore
});

test.each([
  [{ uri: ['api.mesh.test', '.mesh.test'] }, true],
  [{ uri: ['mesh'] }, false],
  [{ uri: ['.mesh'] }, false],
  [{ dns: ['mesh'], email: ['mesh'] }, true],
  [{ dns: ['.mesh.test'] }, false],
])('%j as it is written', (permitted, isAccepted) => {
  expect(nameConstraintsSchema.safeParse({ permitted }).success).toBe(isAccepted);
});
