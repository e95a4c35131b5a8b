import { dnsName, emailAddress, type GeneralName, ipAddress, uri } from '../name/general-name.js';
import { parseIpRange } from '../name/ip-range.js';
import type { Profile } from '../profile/profile.js';
import { resolveProfiles } from '../profile/profiles.js';
import { type AskedNames, NamePolicy } from './name-policy.js';
import type { NameRule } from './name-rule.js';

const profiles = resolveProfiles({ 'tls-server': {}, smime: {}, intermediate: {}, 'ocsp-responder': {} });
const profile = (name: string): Profile => profiles.get(name) as Profile;

function permits(rules: NameRule[], asked: Partial<AskedNames>, requester = 'someone', name = 'tls-server'): boolean {
  try {
    new NamePolicy(rules).authorise(requester, profile(name), { names: [], subject: {}, ...asked });
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_CA_NAME_NOT_ALLOWED' });
    return false;
  }
}
const permitsName = (rule: NameRule, name: GeneralName): boolean => permits([rule], { names: [name] });

test.each([
  ['the exact name', 'api.example.test', true],
  ['the exact name in capitals', 'API.EXAMPLE.TEST', true],
  ['a name below an exact one', 'a.api.example.test', false],
  ['a wildcard over an exact name', '*.api.example.test', false],
  ['one label below a suffix', 'a.svc.test', true],
  ['several labels below a suffix', 'a.b.c.svc.test', true],
  ['the suffix itself', 'svc.test', false],
  ['a wildcard of the suffix', '*.svc.test', true],
  ['a wildcard below the suffix', '*.a.svc.test', true],
  ['a wildcard above the suffix', '*.test', false],
  ['a name that only ends alike', 'evilsvc.test', false],
  ['the A-label of a listed U-label', 'xn--mnchen-3ya.test', true],
  ['a label of a pattern', 'web-01.prod.test', true],
  ['a label that ends otherwise than the pattern', 'web-02.prod.test', false],
  ['another label than the pattern', 'db-01.prod.test', false],
  ['a label too many for a pattern', 'a.web-01.prod.test', false],
  ['a wildcard under a pattern of letters', '*.prod.test', false],
  ['a label between', 'api.eu.cloud.test', true],
  ['two labels where one is meant', 'api.eu.west.cloud.test', false],
  ['a wildcard where a pattern has one label', '*.eu.mesh.test', true],
])('%s: %s %s', (_, name, permitted) => {
  const dns = [
    'api.example.test',
    '*.svc.test',
    'MÜNCHEN.test',
    'web-*1.prod.test',
    'API.*.cloud.test',
    '*.*.mesh.test',
  ];
  expect(permitsName({ dns }, dnsName(name))).toBe(permitted);
});

test.each([
  ['127.0.0.1', true],
  ['127.0.0.2', false],
  ['10.255.0.1', true],
  ['11.0.0.1', false],
  ['2001:db8::1', true],
  ['2001:DB8:0:0::1', true],
  ['2001:db9::1', false],
  ['::ffff:10.0.0.1', false],
  ['::1', false],
])('%s %s', (address, permitted) => {
  expect(permitsName({ ip: ['127.0.0.1', '10.0.0.0/8', '2001:db8::/32'] }, ipAddress(address))).toBe(permitted);
});

test.each([
  ['ada@example.test', true],
  ['Ada@example.test', false],
  ['ada@EXAMPLE.test', true],
  ['anyone@staff.test', true],
  ['anyone@sub.staff.test', false],
  ['anyone@evilstaff.test', false],
  ['anyone@a.b.dept.test', true],
  ['anyone@dept.test', false],
])('%s %s', (address, permitted) => {
  const email = ['ada@example.test', '@Staff.test', '@*.dept.test'];
  expect(permitsName({ email }, emailAddress(address))).toBe(permitted);
});

test.each([
  ['spiffe://example.test/ns/prod/api', true],
  ['SPIFFE://Example.TEST/ns/prod/api', true],
  ['spiffe://example.test/ns/prod', false],
  ['spiffe://example.test/ns/production/api', false],
  ['spiffe://evil.test/ns/prod/api', false],
  ['spiffe://example.test.evil.test/ns/prod/api', false],
  ['https://api.example.test/exact', true],
  ['https://api.example.test/exact/more', false],
  ['http://api.example.test/exact', false],
])('%s %s', (name, permitted) => {
  const rule = { uri: ['spiffe://example.test/ns/prod/*', 'https://api.example.test/exact'] };
  expect(permitsName(rule, uri(name))).toBe(permitted);
});

test.each([
  ['Device 0042', true],
  ['Device 42 Ltd', false],
  ['device 0042', false],
  ['Device 00', true],
])('an attribute of the subject: %s %s', (commonName, permitted) => {
  const rule = { subject: { commonName: ['Device 0*'], organization: ['*'] } };
  expect(permits([rule], { subject: { commonName } })).toBe(permitted);
});

describe('rules', () => {
  const names = [dnsName('a.prod.test')];
  const prod: NameRule = {
    requesters: ['token:deploy', 'mtls:CN=web*'],
    profiles: ['tls-server'],
    dns: ['*.prod.test'],
  };

  test.each([
    ['a listed requester', 'token:deploy', 'tls-server', true],
    ['a requester that starts as listed', 'mtls:CN=web-7', 'tls-server', true],
    ['a requester that only starts alike', 'token:deployer', 'tls-server', false],
    ['another requester', 'application', 'tls-server', false],
    ['another profile', 'token:deploy', 'smime', false],
  ])('%s', (_, requester, name, permitted) => {
    expect(permits([prod], { names }, requester, name)).toBe(permitted);
  });

  test('a name may be allowed by one rule and the next by another', () => {
    const both = [...names, dnsName('b.test')];
    expect(permits([prod, { dns: ['b.test'] }], { names: both }, 'token:deploy')).toBe(true);
    expect(permits([prod, { dns: ['b.test'], requesters: ['x'] }], { names: both }, 'token:deploy')).toBe(false);
  });

  test('without a rule that applies nothing is allowed, not even a profile that asks for no name', () => {
    expect(permits([prod], {}, 'someone')).toBe(false);
    expect(permits([{}], {}, 'someone')).toBe(true);
  });

  test.each(['intermediate', 'ocsp-responder'])('%s must be named by a rule', (name) => {
    const subject = { commonName: 'Sub' };
    const everything: NameRule = { subject: { commonName: ['*'] } };
    expect(permits([everything], { subject }, 'someone', name)).toBe(false);
    expect(permits([{ ...everything, profiles: [name] }], { subject }, 'someone', name)).toBe(true);
  });
});

test('names every refused name', () => {
  const names = [dnsName('a.svc.test'), dnsName('x.test'), ipAddress('8.8.8.8')];
  const policy = new NamePolicy([{ dns: ['*.svc.test'] }]);
  expect(() => policy.authorise('someone', profile('tls-server'), { names, subject: { organization: 'O' } })).toThrow(
    'got x.test, 8.8.8.8, organization "O"',
  );
});

test.each<[keyof NameRule, string]>([
  ['ip', '10.0.0.0/33'],
  ['dns', 'a..test'],
  ['dns', 'münch*.test'],
  ['dns', '*'],
  ['email', 'no-at'],
  ['email', '@*'],
  ['uri', 'spiffe://*.test/a'],
  ['uri', 'spiffe://example.test/a*b/c'],
  ['uri', 'urn:uuid:/*'],
  ['uri', '*'],
])('%s: the entry %s is refused', (field, entry) => {
  expect(() => new NamePolicy([{ [field]: [entry] }])).toThrow(
    expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error,
  );
});

test.each([
  '10.0.0.0/33',
  '2001:db8::/129',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '10.0.0/8',
  '10.0.0.0/-1',
  '010.0.0.1',
  'fe80::1%eth0',
  '0x7f.1',
])('the range %s is refused', (range) => {
  expect(() => parseIpRange(range)).toThrow(expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error);
});
