import { dnsName, ipAddress } from '../name/general-name.js';
import { NamePolicy } from './name-policy.js';

const policy = new NamePolicy({
  dns: ['api.example.test', '*.svc.test', 'MÜNCHEN.test'],
  ip: ['127.0.0.1', '10.0.0.0/8', '2001:db8::/32'],
});

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
])('%s: %s %s', (_, name, permitted) => {
  expect(policy.permits(dnsName(name))).toBe(permitted);
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
  expect(policy.permits(ipAddress(address))).toBe(permitted);
});

test('names every refused name', () => {
  expect(() => policy.assertPermits([dnsName('a.svc.test'), dnsName('x.test'), ipAddress('8.8.8.8')])).toThrow(
    'got x.test, 8.8.8.8',
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
  expect(() => new NamePolicy({ dns: [], ip: [range] })).toThrow(
    expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error,
  );
});
