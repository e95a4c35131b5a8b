import { X509Certificate } from 'node:crypto';
import { makeIdentity } from '../../test/identity.js';
import { isIdentityField, writeIdentity } from './forwarded.js';
import { fieldsOf } from './l7-fields.js';

const certificate = new X509Certificate(makeIdentity('ec-p256').certificatePem);
const client = { address: '192.0.2.7', localPort: 443, authority: 'shop.example', certificateChain: [] };

function written(raw: readonly string[], facts: Partial<typeof client> | object = {}, isTrusted = false): object {
  const fields = fieldsOf(raw);
  writeIdentity(fields, { ...client, ...facts }, isTrusted);
  return Object.fromEntries([...fields].map(([name, values]) => [name, values.join(' | ')]));
}

const own = {
  'x-forwarded-for': '192.0.2.7',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'shop.example',
  'x-forwarded-port': '443',
  forwarded: 'for=192.0.2.7;host=shop.example;proto=https',
};

describe('who the client is', () => {
  it('is said in both ways', () => {
    expect(written([])).toEqual(own);
  });

  it.each([
    'Forwarded',
    'X-Forwarded-For',
    'x-forwarded-prefix',
    'X-Real-IP',
    'Client-Cert',
    'CLIENT-CERT-CHAIN',
    'Client_Cert',
    'X_Forwarded_For',
    'X-Forwarded_For',
  ])('is not believed of %s from anybody', (name) => {
    expect(isIdentityField(name.toLowerCase())).toBe(true);
    expect(written([name, 'spoofed', name, 'again'])).toEqual(own);
  });

  it.each(['X-Forwarded', 'Client-Certificate', 'Via', 'Forwarded-For'])('leaves %s alone', (name) => {
    expect(written([name, 'kept'])).toEqual({ ...own, [name.toLowerCase()]: 'kept' });
  });

  it('goes on where a trusted peer has begun', () => {
    const raw = [
      ...['X-Forwarded-For', '198.51.100.1', 'X-Forwarded-For', '10.0.0.1', 'X-Forwarded-Proto', 'http'],
      ...['Forwarded', 'for=198.51.100.1;proto=http', 'Client-Cert', ':AAAA:', 'Client_Cert', 'spoofed'],
    ];
    expect(written(raw, { certificateChain: [certificate] }, true)).toEqual({
      ...own,
      'x-forwarded-for': '198.51.100.1, 10.0.0.1, 192.0.2.7',
      'x-forwarded-proto': 'http',
      forwarded: 'for=198.51.100.1;proto=http, for=192.0.2.7;host=shop.example;proto=https',
      'client-cert': ':AAAA:',
    });
  });

  it('does not lend the certificate of a trusted proxy to those it speaks for', () => {
    expect(written([], { certificateChain: [certificate] }, true)).toEqual(own);
  });

  it('shows the certificate of a client, and its issuers but for the root', () => {
    const der = `:${certificate.raw.toString('base64')}:`;
    expect(written(['Client-Cert', 'spoofed'], { certificateChain: [certificate] })).toEqual({
      ...own,
      'client-cert': der,
    });
    // A self-signed certificate stands for the root at the end of a chain.
    const { 'client-cert-chain': chain } = written([], {
      certificateChain: [certificate, certificate],
    }) as typeof own & {
      'client-cert-chain'?: string;
    };
    expect(chain).toBeUndefined();
  });

  it('is quoted where it is no token', () => {
    const facts = { address: '2001:db8::1', authority: 'shop.example:8443' };
    expect(written([], facts)).toMatchObject({
      'x-forwarded-for': '2001:db8::1',
      forwarded: 'for="[2001:db8::1]";host="shop.example:8443";proto=https',
    });
  });
});
