import fc from 'fast-check';
import { HsmError } from '../errors.js';
import { formatKeyUri, type KeyUri, keyUriType, keyUriTypes, parseKeyUri } from './key-uri.js';
import type { KeyId } from './key.js';

const id = '0123456789abcdef0123456789abcdef' as KeyId;
const encodedId = '%01%23%45%67%89%AB%CD%EF%01%23%45%67%89%AB%CD%EF';

const refusal = (text: string): string => {
  try {
    parseKeyUri(text);
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_HSM_ARGUMENT_INVALID') return error.message;
    throw error;
  }
  throw new Error(`want a refusal of ${text}`);
};

describe('PKCS#11 URIs (RFC 7512)', () => {
  it.each<[KeyUri, string]>([
    [{}, 'pkcs11:'],
    [{ token: 'ca', object: 'root', id, type: 'private' }, `pkcs11:token=ca;object=root;id=${encodedId};type=private`],
    [{ token: 'The Software PKCS#11 Softtoken' }, 'pkcs11:token=The%20Software%20PKCS%2311%20Softtoken'],
    [{ object: 'a;b=c?d&e/f%g|h' }, 'pkcs11:object=a%3Bb%3Dc%3Fd%26e%2Ff%25g%7Ch'],
    [{ object: 'Schlüssel 🔑' }, 'pkcs11:object=Schl%C3%BCssel%20%F0%9F%94%91'],
    [
      { manufacturer: 'Snake Oil, Inc.', serial: '1', model: 'v2' },
      'pkcs11:manufacturer=Snake%20Oil%2C%20Inc.;serial=1;model=v2',
    ],
  ])('prints and parses %j', (uri, text) => {
    expect(formatKeyUri(uri)).toBe(text);
    expect(parseKeyUri(text)).toEqual(uri);
  });

  it.each<[string, KeyUri]>([
    // From the examples of RFC 7512 §3, as far as they name private and secret keys.
    ['pkcs11:object=my-pubkey;type=private', { object: 'my-pubkey', type: 'private' }],
    [
      'pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;object=my-certificate',
      {
        token: 'The Software PKCS#11 Softtoken',
        manufacturer: 'Snake Oil, Inc.',
        model: '1.0',
        object: 'my-certificate',
      },
    ],
    [
      'pkcs11:object=my-key;type=private?pin-source=file:/etc/token&module-path=/a.so',
      { object: 'my-key', type: 'private' },
    ],
    // Schemes are case-insensitive (RFC 3986 §3.1), and what pk11-pchar allows need not be encoded.
    ["PKCS11:object=a:b[c]@d!e$f'g(h)i*j+k,l=m&n", { object: "a:b[c]@d!e$f'g(h)i*j+k,l=m&n" }],
    ['pkcs11:id=0123456789abcdef', { id: Buffer.from('0123456789abcdef').toString('hex') as KeyId }],
    [`pkcs11:id=${encodedId.toLowerCase()}`, { id }],
    ['pkcs11:object=', { object: '' }],
  ])('parses %s', (text, uri) => {
    expect(parseKeyUri(text)).toEqual(uri);
  });

  it.each([
    ['', 'want pkcs11:'],
    ['http://example.com/', 'want pkcs11:'],
    ['pkcs11', 'want pkcs11:'],
    ['pkcs11:token', 'want attributes name=value'],
    ['pkcs11:token=a;', 'want attributes name=value'],
    ['pkcs11:token=a b', 'want attributes name=value'],
    ['pkcs11:token=a;token=b', 'want token once'],
    ['pkcs11:token=%C3', 'token: want percent-encoded UTF-8'],
    ['pkcs11:token=%zz', 'token: want percent-encoded UTF-8'],
    ['pkcs11:id=%01', 'id: want 16'],
    [`pkcs11:id=${encodedId}%`, 'id: want 16'],
    ['pkcs11:type=cert', 'type: want private or secret-key'],
    ['pkcs11:type=public', 'type: want private or secret-key'],
    ['pkcs11:slot-id=0;object=a', 'got slot-id'],
    ['pkcs11:library-version=2;object=a', 'got library-version'],
    ['pkcs11:x-vendor=1;object=a', 'got x-vendor'],
    ['pkcs11:__proto__=a', 'got __proto__'],
  ])('refuses %s', (text, why) => {
    expect(refusal(text)).toContain(why);
  });

  it('never quotes a URI, which may hold a PIN', () => {
    expect(refusal('pkcs11:token;?pin-value=s3cret')).not.toContain('s3cret');
    expect(refusal('pkcs12:token=a?pin-value=s3cret')).not.toContain('s3cret');
  });

  it('parses what it prints', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    const uris = fc.record(
      {
        token: text,
        manufacturer: text,
        serial: text,
        model: text,
        object: text,
        id: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex') as KeyId),
        type: fc.constantFrom(...keyUriTypes),
      },
      { requiredKeys: [] },
    );
    fc.assert(fc.property(uris, (uri) => expect(parseKeyUri(formatKeyUri(uri))).toEqual(uri)));
  });

  it('refuses or parses whatever there is, and what it parses it prints and parses again', () => {
    const pieces = fc.array(
      fc.oneof(fc.constantFrom('token=', 'id=', ';', '%', '%41', '=', '?', 'type=', 'private'), fc.string()),
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        let uri: KeyUri;
        try {
          uri = parseKeyUri(`pkcs11:${parts.join('')}`);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
          return;
        }
        expect(parseKeyUri(formatKeyUri(uri))).toEqual(uri);
      }),
      { numRuns: 500 },
    );
  });

  it('prints half a surrogate pair as what UTF-8 has for it', () => {
    expect(formatKeyUri({ object: 'a\ud800' })).toBe('pkcs11:object=a%EF%BF%BD');
  });

  it('names a pair by its private half', () => {
    expect(keyUriType({ algorithm: 'ec-p256' })).toBe('private');
    expect(keyUriType({ algorithm: 'aes-256' })).toBe('secret-key');
    expect(keyUriType({ algorithm: 'hmac-sha256' })).toBe('secret-key');
  });
});
