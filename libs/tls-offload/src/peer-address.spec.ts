import { isAddressRange, plainAddress, sourceOf, TrustedPeers } from './peer-address.js';

describe('the source that limits count', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3::', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
  ])('of %s is %s', (address, source) => expect(sourceOf(address)).toBe(source));
});

describe('trusted peers', () => {
  it.each(['10.0.0.0/8', '192.0.2.1', '::1', '2001:db8::/32', '0.0.0.0/0'])('may be %s', (range) => {
    expect(isAddressRange(range)).toBe(true);
  });
  it.each([
    '',
    'localhost',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    'fe80::1%1',
  ])('may not be %j', (range) => expect(isAddressRange(range)).toBe(false));

  it('are those of a range, of either notation', () => {
    const peers = new TrustedPeers(['10.1.0.0/16', '192.0.2.1', '2001:db8::/32']);
    const trusted = ['10.1.255.255', '::ffff:10.1.2.3', '192.0.2.1', '2001:db8:ffff::1'];
    const others = ['10.2.0.0', '192.0.2.2', '2001:db9::1', '', 'localhost'];
    expect(trusted.filter((address) => peers.has(address))).toEqual(trusted);
    expect(others.filter((address) => peers.has(address))).toEqual([]);
    expect(new TrustedPeers([]).has('127.0.0.1')).toBe(false);
  });
});

describe('an IPv4 address on a socket for both families', () => {
  it.each([
    ['::ffff:10.1.0.1', '10.1.0.1'],
    ['2001:db8::1', '2001:db8::1'],
    ['::ffff:nonsense', '::ffff:nonsense'],
  ])('%s is %s', (address, plain) => expect(plainAddress(address)).toBe(plain));
});
