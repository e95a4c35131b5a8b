import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TrustedPeers } from '../peer-address.js';
import { upstreamRequestOf } from './l7-request.js';

function authorityAsked(servername: string | false, host: string, url = '/'): string | undefined {
  const request = new IncomingMessage({ servername, remoteAddress: '192.0.2.1', localPort: 443 } as unknown as Socket);
  Object.assign(request, { method: 'GET', url, httpVersion: '1.1', rawHeaders: ['Host', host] });
  const rules = { trustedPeers: new TrustedPeers([]), requireMatchingHost: true };
  return upstreamRequestOf(request, rules).fields.get('host')?.[0];
}

describe('a Host', () => {
  it.each([
    ['secret.example', 'secret.example'],
    ['secret.example', 'Secret.Example.:443'],
    [false, '[2001:db8::1]:443'],
  ] as const)('that is meant by the server name %s passes: %s', (servername, host) => {
    expect(authorityAsked(servername, host)).toBe(host);
  });

  it.each([
    ['secret.example.', 'secret.example'],
    ['secret.example.', 'secret.example.'],
    ['other.example', 'secret.example'],
    [false, 'secret.example'],
  ] as const)('that is not meant by the server name %s is refused: %s', (servername, host) => {
    expect(() => authorityAsked(servername, host)).toThrow('want the server name of the handshake in Host');
  });

  it('is not doubted by a path that begins with //', () => {
    const url = '//other.example/';
    expect(() => authorityAsked('secret.example', 'secret.example', url)).toThrow(
      'want a path that does not begin with //',
    );
  });
});
