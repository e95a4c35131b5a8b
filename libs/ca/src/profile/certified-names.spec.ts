import type { AttributeName, SubjectAttributes } from '../name/distinguished-name.js';
import { dnsName, emailAddress, type GeneralName, ipAddress, uri } from '../name/general-name.js';
import { askedNames, type CertifiedNames, certifiedNames } from './certified-names.js';
import type { Profile } from './profile.js';
import type { ProfileInput } from './profile-schema.js';
import { resolveProfiles } from './profiles.js';

const profileOf = (extended: string, changes: ProfileInput = {}): Profile =>
  resolveProfiles({ p: { extends: extended, ...changes } }).get('p') as Profile;
const certify = (profile: Profile, subject: SubjectAttributes, names: GeneralName[] = []): CertifiedNames =>
  certifiedNames(profile, { names, attribute: (name: AttributeName) => subject[name] });
const spellings = ({ names }: CertifiedNames): string[] => names.map(({ type, value }) => `${type}:${value}`);

describe('tls-server', () => {
  const profile = profileOf('tls-server');

  test('a commonName is the first of the names, what else the subject says is left out', () => {
    const certified = certify(profile, { commonName: 'A.test', organization: 'O' }, [dnsName('b.test')]);
    expect(certified.subject).toEqual({ commonName: 'a.test' });
    expect(spellings(certified)).toEqual(['dns:a.test', 'dns:b.test']);
    expect(askedNames(profile, certified)).toEqual({ subject: {}, names: certified.names });
  });

  test('an address as commonName is an address', () => {
    expect(spellings(certify(profile, { commonName: '2001:DB8::1' }))).toEqual(['ip:2001:db8::1']);
  });

  test.each<[string, SubjectAttributes, GeneralName[], string]>([
    ['no name', {}, [], 'ERR_CA_NAME_MISSING'],
    ['an e-mail address', {}, [emailAddress('a@b.test')], 'ERR_CA_NAME_NOT_ALLOWED'],
    ['a URI beside a name', {}, [dnsName('a.test'), uri('https://a.test/')], 'ERR_CA_NAME_NOT_ALLOWED'],
    ['a commonName that is no name', { commonName: 'Ada Lovelace' }, [dnsName('a.test')], 'ERR_CA_NAME_INVALID'],
    ['more names than the bound', { commonName: 'a.test' }, Array.from({ length: 100 }, (_, n) => dnsName(`n${n}.test`)), 'ERR_CA_CSR_CONTENT_REFUSED'],
  ])('refuses %s', (_, subject, names, code) => {
    expect(() => certify(profile, subject, names)).toThrow(expect.objectContaining({ code }) as Error);
  }); // prettier-ignore
});

describe('subject rules', () => {
  const profile = profileOf('code-signing', {
    subject: { commonName: 'required', organization: { value: 'Example' }, serialNumber: 'optional' },
  });

  test('fixed values need nobody’s leave, those of the CSR do', () => {
    const certified = certify(profile, { commonName: 'Build', organization: 'Evil', serialNumber: '42' });
    expect(certified).toEqual({
      subject: { commonName: 'Build', organization: 'Example', serialNumber: '42' },
      names: [],
    });
    expect(askedNames(profile, certified)).toEqual({ subject: { commonName: 'Build', serialNumber: '42' }, names: [] });
  });

  test.each<[string, SubjectAttributes, string]>([
    ['a required attribute that is missing', {}, 'ERR_CA_NAME_MISSING'],
    ['spaces around', { commonName: ' Build' }, 'ERR_CA_NAME_INVALID'],
    ['a control character', { commonName: 'Bu\u0000ild' }, 'ERR_CA_NAME_INVALID'],
    ['text that reads backwards', { commonName: 'Build \u202eelpmaxE' }, 'ERR_CA_NAME_INVALID'],
    ['text that nobody sees', { commonName: 'Bu\u200bild' }, 'ERR_CA_NAME_INVALID'],
    ['65 characters', { commonName: 'a'.repeat(65) }, 'ERR_CA_NAME_INVALID'],
    ['no letter or digit', { commonName: '-' }, 'ERR_CA_NAME_INVALID'],
    ['a serialNumber that is no PrintableString', { commonName: 'a', serialNumber: 'ä' }, 'ERR_CA_NAME_INVALID'],
  ])('refuses %s', (_, subject, code) => {
    expect(() => certify(profile, subject)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe('an e-mail address of the subject', () => {
  const profile = profileOf('smime', { subject: { commonName: 'required', emailAddress: 'optional' } });

  test('is a name as well, under the same policy', () => {
    const certified = certify(profile, { commonName: 'Ada', emailAddress: 'ada@Example.TEST' });
    expect(certified.subject.emailAddress).toBe('ada@example.test');
    expect(askedNames(profile, certified)).toEqual({
      subject: { commonName: 'Ada' },
      names: [emailAddress('ada@example.test')],
    });
  });
});

describe('added names', () => {
  const profile = profileOf('device', {
    subject: { serialNumber: 'required' },
    subjectAltName: { allowed: ['dns'], add: ['uri:urn:device:{serialNumber}', 'dns:{serialNumber}.devices.test'] },
  });

  test('follow from the subject, and only that must be allowed', () => {
    const certified = certify(profile, { serialNumber: 'SN-1' }, [dnsName('extra.test')]);
    expect(spellings(certified)).toEqual(['dns:extra.test', 'uri:urn:device:SN-1', 'dns:sn-1.devices.test']);
    expect(askedNames(profile, certified)).toEqual({
      subject: { serialNumber: 'SN-1' },
      names: [dnsName('extra.test')],
    });
  });

  test('what would leave its place is refused', () => {
    expect(() => certify(profile, { serialNumber: 'a/../b' })).toThrow(
      expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error,
    );
    const uriOnly = profileOf('device', { subject: { serialNumber: 'required' }, subjectAltName: { add: ['uri:urn:device:{serialNumber}'] } }); // prettier-ignore
    for (const serialNumber of ['a/b?c', 'a.b', '-a', "a'b"])
      expect(() => certify(uriOnly, { serialNumber })).toThrow('since it is part of a name');
  });

  test('neither a wildcard, nor a further label, nor another placeholder comes in with an attribute', () => {
    const named = profileOf('device', {
      subject: { commonName: 'required', serialNumber: 'required' },
      subjectAltName: { add: ['dns:{commonName}.dev.test'] },
    });
    for (const commonName of ['*.a', 'x.y', '{serialNumber}', '$&', '*'])
      expect(() => certify(named, { commonName, serialNumber: 'b' })).toThrow(
        expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error,
      );
  });

  test('do not make their kind one that a request may ask for', () => {
    expect(() => certify(profile, { serialNumber: 'SN-1' }, [uri('urn:device:SN-2')])).toThrow(
      expect.objectContaining({ code: 'ERR_CA_NAME_NOT_ALLOWED' }) as Error,
    );
  });
});

test('a SPIFFE ID is the only URI', () => {
  const profile = profileOf('mutual');
  const ids = [uri('spiffe://example.test/a'), uri('https://example.test/')];
  expect(spellings(certify(profile, {}, [ids[0], ipAddress('10.0.0.1')]))).toHaveLength(2);
  expect(() => certify(profile, {}, ids)).toThrow(expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error);
});

const organization = (name: string): SubjectAttributes => ({
  country: 'DE',
  locality: 'Berlin',
  organization: name,
  commonName: 'a',
});

test.each<[string, string, SubjectAttributes, GeneralName[], string]>([
  ['an internal name', 'public-tls-server', {}, [dnsName('a.example.com'), dnsName('db.internal')], 'got dns db.internal'],
  ['a wildcard of one', 'public-tls-server', {}, [dnsName('*.corp')], 'got dns *.corp'],
  ['a private address', 'public-tls-server', {}, [ipAddress('10.0.0.1')], 'got ip 10.0.0.1'],
  ['an internal mailbox', 'public-smime', {}, [emailAddress('ada@mail.test')], 'got email ada@mail.test'],
  ['HTML', 'public-code-signing', organization('Ada&copy 2026'), [], 'got organization "Ada&copy 2026"'],
  ['half a name', 'public-code-signing', organization('Example (Example Gesell'), [], 'got organization "Example (Example Gesell"'],
])('a public-style profile refuses %s, and tells the caller', (_, extended, subject, names, message) => {
  expect(() => certify(profileOf(extended), subject, names)).toThrow(
    expect.objectContaining({ code: 'ERR_CA_NAME_NOT_ALLOWED', message: expect.stringContaining(message) as string }) as Error,
  );
}); // prettier-ignore

test('a public-style profile takes what is of the public', () => {
  const names = [dnsName('*.example.com'), ipAddress('8.8.8.8')];
  expect(certify(profileOf('public-tls-server'), {}, names).names).toEqual(names);
  const subject = organization('A&T (Example GmbH)');
  expect(certify(profileOf('public-code-signing'), subject).subject).toEqual(subject);
});

/** What recovery holds a committed TBS against. */
test.each<[string, CertifiedNames]>([
  ['a fixed value that is another', { subject: { commonName: 'a', organization: 'Other' }, names: [] }],
  ['an attribute without a rule', { subject: { commonName: 'a', organization: 'Example', locality: 'X' }, names: [] }],
  ['a fixed value that is missing', { subject: { commonName: 'a' }, names: [] }],
  ['a name of a kind that is not allowed', { subject: { commonName: 'a', organization: 'Example' }, names: [dnsName('a.test')] }],
])('%s does not fit the profile', (_, certified) => {
  const profile = profileOf('code-signing', { subject: { commonName: 'required', organization: { value: 'Example' } } });
  expect(() => askedNames(profile, certified)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_CA_NAME_/) as string }) as Error);
}); // prettier-ignore
