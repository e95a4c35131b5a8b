import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { X509Certificate } from 'node:crypto';
import { CliError } from '../faults.js';

const block = /-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;
/** Far more than a chain is. */
const maximumBytes = 1024 * 1024;

/**
 * Every certificate of a file, in PEM, or the one of a file in DER.
 * @throws {CliError} ERR_CLI_ARGUMENT
 */
export async function readCertificates(file: string): Promise<Buffer[]> {
  const octets = await readInput(file);
  if (octets[0] === 0x30) return [octets];
  const certificates = [...octets.toString('latin1').matchAll(block)].map(([, base64]) =>
    Buffer.from(base64, 'base64'),
  );
  if (certificates.length === 0)
    throw new CliError('ERR_CLI_ARGUMENT', `${file}: want certificates in PEM or DER, got none`);
  return certificates;
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
export async function readInput(file: string): Promise<Buffer> {
  const octets = await readStart(file).catch((error: Error) => {
    throw new CliError('ERR_CLI_ARGUMENT', `${file}: want a readable file, got ${error.message}`);
  });
  if (octets.length > maximumBytes)
    throw new CliError('ERR_CLI_ARGUMENT', `${file}: want at most ${maximumBytes} octets, got more`);
  return octets;
}

/** As far as it may go, and an octet more: a device has no end. */
async function readStart(file: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(file, { end: maximumBytes })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Writes a file that is not there yet. @throws {CliError} ERR_CLI_ARGUMENT */
export async function writeOutput(file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: 'wx' }).catch((error: Error) => {
    throw new CliError('ERR_CLI_ARGUMENT', `${file}: want to write a new file, got ${error.message}`);
  });
}

/** The same for what may be there already, octet for octet. @throws {CliError} ERR_CLI_ARGUMENT */
export async function writeOutputOnce(file: string, text: string): Promise<void> {
  await writeOutput(file, text).catch(async (error: CliError) => {
    const there = await readFile(file, 'utf8').catch(() => undefined);
    if (there === undefined) throw error;
    if (there !== text)
      throw new CliError(
        'ERR_CLI_ARGUMENT',
        `${file}: want no file, or the same content, got another; it is left as it is`,
      );
  });
}

/** What a certificate is, in two lines. */
export function certificateText(der: Buffer): string {
  const { subject, validTo, fingerprint256 } = new X509Certificate(der);
  return `${subject.replaceAll('\n', ', ')}\n  valid to ${validTo}\n  SHA-256 ${fingerprint256}`;
}

/** The same as a value. */
export function certificateView(der: Buffer): Record<string, string> {
  const certificate = new X509Certificate(der);
  const { subject, serialNumber, validTo, fingerprint256 } = certificate;
  const notAfter = new Date(validTo).toISOString();
  return { subject, serial: serialNumber.toLowerCase(), notAfter, fingerprint256, certificate: certificate.toString() };
}
