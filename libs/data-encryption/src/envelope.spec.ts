import fc from 'fast-check';
import { type DataKeyId, formatEnvelope, formatHeader, headerCharacters, parseBody, parseHeader } from './envelope.js';

const id = '00112233445566778899aabbccddeeff' as DataKeyId;

describe('envelope', () => {
  it('has the bytes of docs/ENVELOPE.md', () => {
    const text = formatEnvelope(formatHeader(id), Buffer.from('01'.repeat(12) + 'cc' + '02'.repeat(16), 'hex'));
    expect(Buffer.from(text, 'base64').toString('hex')).toBe(
      `9e1b26${'01'}${'01'}${id}${'01'.repeat(12)}cc${'02'.repeat(16)}`,
    );
    expect(text.startsWith('nhsm')).toBe(true);
  });

  it('gives back header and body of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 28, maxLength: 200 }), (bytes) => {
        const body = Buffer.from(bytes);
        const text = formatEnvelope(formatHeader(id), body);
        const parsed = parseBody(text);
        expect(parseHeader(text.slice(0, headerCharacters))).toBe(id);
        expect(Buffer.concat([parsed!.nonce, parsed!.ciphertext, parsed!.tag])).toEqual(body);
        expect([parsed!.nonce.length, parsed!.tag.length]).toEqual([12, 16]);
      }),
    );
  });

  const header = formatHeader(id);
  it.each([
    ['plaintext', 'Ada Lovelace'],
    ['nothing', ''],
    ['another magic', `nhsn${header.slice(4)}`],
    ['another format', Buffer.concat([Buffer.from('9e1b260201', 'hex'), Buffer.from(id, 'hex')]).toString('base64')],
    ['another algorithm', Buffer.concat([Buffer.from('9e1b260102', 'hex'), Buffer.from(id, 'hex')]).toString('base64')],
    ['a header cut off', header.slice(0, 24)],
    ['a header with a stranger in it', `${header.slice(0, 27)} `],
  ])('a header that is %s names no key', (_, text) => {
    expect(parseHeader(text.slice(0, headerCharacters))).toBeUndefined();
  });

  const text = formatEnvelope(header, Buffer.alloc(40));
  it.each([
    ['too short for a nonce and a tag', formatEnvelope(header, Buffer.alloc(27))],
    ['cut inside a group', text.slice(0, -1)],
    ['followed by more', `${text}AAAA=`],
    ['interrupted by a blank', `${text.slice(0, 40)} ${text.slice(40)}`],
    ['the header alone', header],
  ])('a body that is %s is none', (_, cell) => {
    expect(parseBody(cell)).toBeUndefined();
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (anything) => {
        expect(() => [parseHeader(anything.slice(0, headerCharacters)), parseBody(anything)]).not.toThrow();
      }),
    );
  });
});
