import { CaError } from '../errors.js';

const block = /^\s*-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----\s*$/;

/**
 * The DER of one PEM certification request and nothing else (RFC 7468 §7).
 * @throws {CaError} ERR_CA_CSR_MALFORMED
 */
export function decodeCsrPem(text: string): Buffer {
  const base64 = block.exec(text)?.[2].replace(/\s/g, '');
  if (base64 === undefined)
    throw new CaError('ERR_CA_CSR_MALFORMED', 'CSR: want one PEM block CERTIFICATE REQUEST and nothing around it');
  const der = Buffer.from(base64, 'base64');
  if (der.length === 0 || der.toString('base64') !== base64)
    throw new CaError('ERR_CA_CSR_MALFORMED', 'CSR: want canonical base64 in the PEM block');
  return der;
}

/** 64 characters (RFC 7468 §2). */
const octetsPerLine = 48;

/** RFC 7468 text of one block. */
export function encodePem(
  label: 'CERTIFICATE' | 'CERTIFICATE REQUEST' | 'PUBLIC KEY' | 'X509 CRL',
  der: Buffer,
): string {
  let text = `-----BEGIN ${label}-----\n`;
  for (let at = 0; at < der.length; at += octetsPerLine) text += `${der.toString('base64', at, at + octetsPerLine)}\n`;
  return `${text}-----END ${label}-----\n`;
}
