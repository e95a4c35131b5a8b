import { X509Certificate } from 'node:crypto';
import { makeIdentity } from '../../test/identity.js';
import { thrownBy } from '../../test/thrown-by.js';
import type { SessionDescription } from '../addon.js';
import { makeProxyHeader, parseProxyHeader, type ProxiedEndpoints } from './proxy-protocol.js';

const v4: ProxiedEndpoints = {
  sourceAddress: '192.0.2.7',
  sourcePort: 56_324,
  destinationAddress: '198.51.100.9',
  destinationPort: 443,
};
const v6: ProxiedEndpoints = { ...v4, sourceAddress: '2001:db8::7', destinationAddress: '2001:db8:1:2:3:4:5:6' };
const description: SessionDescription = {
  ...{ protocol: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', cipherStandardName: '', cipherVersion: '', group: '' },
  ...{ alpnProtocol: 'h2', serverName: 'a.example', resumed: false, peerCertificates: [] },
};
const signature = '0d0a0d0a000d0a515549540a';
const v2 = (command: string, family: string, variable: string, length = variable.length / 2) =>
  Buffer.from(`${signature}${command}${family}${length.toString(16).padStart(4, '0')}${variable}`, 'hex');
const v4Hex = 'c0000207' + 'c6336409' + 'dc04' + '01bb';
const v6Hex = '20010db8000000000000000000000007' + '20010db8000100020003000400050006' + 'dc0401bb';

describe('a PROXY header', () => {
  const headers: readonly [string, Buffer, ProxiedEndpoints | undefined][] = [
    ['version 1 for IPv4', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r\n'), v4],
    ['version 1 for IPv6', Buffer.from('PROXY TCP6 2001:db8::7 2001:db8:1:2:3:4:5:6 56324 443\r\n'), v6],
    ['version 1 that does not know', Buffer.from('PROXY UNKNOWN\r\n'), undefined],
    ['version 1 that knows nothing of use', Buffer.from('PROXY UNKNOWN ffff:f 1 65535 1\r\n'), undefined],
    ['version 2 for IPv4', v2('21', '11', v4Hex), v4],
    ['version 2 for IPv6', v2('21', '21', v6Hex), v6],
    ['version 2 with TLVs', v2('21', '11', `${v4Hex}0100026832040000`), v4],
    [
      'version 2 for IPv4 in IPv6',
      v2('21', '21', `${'0'.repeat(20)}ffffc0000207${'0'.repeat(20)}ffffc6336409dc0401bb`),
      v4,
    ],
    ['version 2 for a Unix socket', v2('21', '31', '00'.repeat(216)), undefined],
    ['version 2 that does not know', v2('21', '00', ''), undefined],
    ['a health check of version 2', v2('20', '00', ''), undefined],
    ['a health check with addresses, which do not count', v2('20', '11', v4Hex), undefined],
    ['the longest of version 2', v2('21', '11', `${v4Hex}ea0ff1${'00'.repeat(4_081)}`), v4],
  ];
  it.each(headers)('of %s is read, whole and no further', (_what, header, endpoints) => {
    for (let bytes = 0; bytes < header.length; bytes++) {
      expect(parseProxyHeader(header.subarray(0, bytes))).toBeUndefined();
    }
    const followed = Buffer.concat([header, Buffer.from([0x16, 3, 1])]);
    expect(parseProxyHeader(followed)).toEqual({ bytes: header.length, endpoints });
  });

  const hostile: readonly [string, Buffer][] = [
    ['is TLS', Buffer.from('1603010200', 'hex')],
    ['is HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['is in small letters', Buffer.from('proxy TCP4')],
    ['is a line without an end', Buffer.from(`PROXY TCP4 ${' '.repeat(200)}`)],
    ['ends its line by LF alone', Buffer.from(`PROXY TCP4 192.0.2.7 198.51.100.9 1 2\n${'x'.repeat(100)}`)],
    ['has a family that is none', Buffer.from('PROXY UDP4 192.0.2.7 198.51.100.9 1 2\r\n')],
    ['has an address of the other family', Buffer.from('PROXY TCP4 2001:db8::7 2001:db8::8 1 2\r\n')],
    ['has an address that is none', Buffer.from('PROXY TCP4 192.0.2.256 198.51.100.9 1 2\r\n')],
    ['has a zone in its address', Buffer.from('PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n')],
    ['has a port beyond 65535', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.9 1 65536\r\n')],
    ['has a port with a zero in front', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.9 01 2\r\n')],
    ['has a sign before a port', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.9 +1 2\r\n')],
    ['has two spaces', Buffer.from('PROXY TCP4  192.0.2.7 198.51.100.9 1 2\r\n')],
    ['has more than ports', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.9 1 2 3\r\n')],
    ['has a NUL', Buffer.from('PROXY TCP4 192.0.2.7\0 198.51.100.9 1 2\r\n')],
    ['knows nothing, badly', Buffer.from('PROXY UNKNOWNS\r\n')],
    ['is of version 1 in binary', v2('11', '11', v4Hex)],
    ['has a command that is none', v2('22', '11', v4Hex)],
    ['is for UDP', v2('21', '12', v4Hex)],
    ['has a family that is none in binary', v2('21', '41', v4Hex)],
    ['says that it is longer than it may be', v2('21', '11', v4Hex, 4_097)],
    ['is too short for its addresses', v2('21', '21', v4Hex)],
    ['has half an address', v2('21', '11', 'c00002')],
    ['has a TLV that is cut off', v2('21', '11', `${v4Hex}0100ff00`)],
    ['has bytes after its TLVs', v2('21', '11', `${v4Hex}04000000ff`)],
  ];
  it.each(hostile)('that %s is refused', (_what, header) => {
    expect(thrownBy(() => parseProxyHeader(header))).toMatchObject({ code: 'ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID' });
  });

  it.each([
    ['IPv4', v4],
    ['IPv6', v6],
  ])('of ours for %s is what we would read', (_family, endpoints) => {
    for (const version of ['v1', 'v2'] as const) {
      const header = makeProxyHeader(version, endpoints, description);
      expect(parseProxyHeader(header)).toEqual({ bytes: header.length, endpoints });
    }
  });

  it('of ours names no zone', () => {
    const scoped = { ...v6, sourceAddress: 'fe80::7%eth0', destinationAddress: 'fe80::1%eth0' };
    const bare = { ...v6, sourceAddress: 'fe80::7', destinationAddress: 'fe80::1' };
    for (const version of ['v1', 'v2'] as const) {
      expect(parseProxyHeader(makeProxyHeader(version, scoped, description))?.endpoints).toEqual(bare);
    }
  });

  it('of ours says that it does not know where the families differ', () => {
    const mixed = { ...v4, destinationAddress: '2001:db8::1' };
    expect(makeProxyHeader('v1', mixed, description).toString()).toBe('PROXY UNKNOWN\r\n');
    expect(parseProxyHeader(makeProxyHeader('v2', mixed, description))?.endpoints).toBeUndefined();
  });

  it('of ours of version 2 tells what TLS negotiated, byte by byte', () => {
    const text = (value: string) => Buffer.from(value).toString('hex');
    const ssl = `01${'00000001'}210007${text('TLSv1.3')}230016${text('TLS_AES_128_GCM_SHA256')}`;
    const tlvs = `010002${text('h2')}020009${text('a.example')}2000${(ssl.length / 2).toString(16)}${ssl}`;
    expect(makeProxyHeader('v2', v4, description)).toEqual(v2('21', '11', v4Hex + tlvs));
  });

  it('of ours of version 2 names the owner of a verified certificate', () => {
    const { raw } = new X509Certificate(makeIdentity('ec-p256', ['robot.example']).certificatePem);
    const header = makeProxyHeader('v2', v4, {
      ...description,
      alpnProtocol: '',
      serverName: '',
      peerCertificates: [raw],
    });
    expect(header.subarray(28 + 3, 28 + 3 + 5).toString('hex')).toBe('0700000000');
    expect(header.includes('"\0\rrobot.example', 'latin1')).toBe(true);
  });
});
