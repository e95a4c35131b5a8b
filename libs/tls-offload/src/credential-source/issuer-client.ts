import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { TlsOffloadError } from '../errors.js';

/** More than any chain or problem document. */
const largestAnswerBytes = 256 * 1024;

export interface Issuer {
  readonly url: string;
  readonly tokenFile: string;
  readonly trustFile?: string;
  readonly profile: string;
  readonly requestTimeoutMilliseconds: number;
}

/**
 * Has a nest-hsm CA issue: `POST /v1/certificates?profile=…` with the request in PEM.
 * @returns the chain in PEM, leaf first (application/pem-certificate-chain, RFC 8555 §9.1), not yet checked
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE (worth asking again) | ERR_TLS_OFFLOAD_ISSUANCE_REFUSED |
 * ERR_TLS_OFFLOAD_CONFIG_INVALID
 */
export async function requestCertificate(
  issuer: Issuer,
  certificateRequest: string,
  signal?: AbortSignal,
): Promise<string> {
  const token = await readToken(issuer.tokenFile);
  const ca = issuer.trustFile === undefined ? undefined : await readText(issuer.trustFile);
  const url = new URL(`${issuer.url.replace(/\/$/, '')}/v1/certificates`);
  url.searchParams.set('profile', issuer.profile);
  const timeout = AbortSignal.timeout(issuer.requestTimeoutMilliseconds);
  const options = {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/x-pem-file',
      accept: 'application/pem-certificate-chain',
    },
    ca,
    agent: false,
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  } as const;
  let answer: Answer;
  try {
    answer = await send(url, options, certificateRequest);
  } catch (cause) {
    throw unavailable(url, (cause as Error).message, cause);
  }
  const { status, body } = answer;
  if (status === 200 || status === 201) return body;
  if (status >= 500 || status === 429) throw unavailable(url, `status ${status}: ${summarize(body)}`);
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_ISSUANCE_REFUSED',
    `issuer ${url.origin}: want a certificate, got status ${status}: ${summarize(body)}`,
  );
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function send(url: URL, options: Parameters<typeof requestHttps>[1], body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, (response) => {
      readBody(response).then((text) => resolve({ status: response.statusCode ?? 0, body: text }), reject);
    });
    request.once('error', reject);
    request.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > largestAnswerBytes) throw new Error(`an answer of more than ${largestAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What a header can carry (RFC 9110 §5.5): anything else would look like an issuer that is away, for ever. */
async function readToken(file: string): Promise<string> {
  const token = await readText(file);
  if (/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(token)) return token;
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_CONFIG_INVALID',
    `${file}: want a bearer token, one line of printable ASCII, got something else`,
  );
}

async function readText(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    const message = `${file}: want a readable file, got ${(cause as Error).message}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
  }
}

function unavailable(url: URL, got: string, cause?: unknown): TlsOffloadError {
  const message = `issuer ${url.origin}: want a certificate, got ${got}`;
  return new TlsOffloadError('ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE', message, { cause });
}

/** What a problem document (RFC 9457) says, on one line, or the beginning of whatever came instead. */
function summarize(body: string): string {
  const text = body.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 300);
  try {
    const problem = JSON.parse(body) as { code?: unknown; detail?: unknown };
    if (typeof problem.code !== 'string') return text;
    return typeof problem.detail === 'string' ? `${problem.code}: ${problem.detail}` : problem.code;
  } catch {
    return text;
  }
}
