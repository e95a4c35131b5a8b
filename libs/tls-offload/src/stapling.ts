// @peculiar/x509 needs it before it loads.
import 'reflect-metadata';
import { AuthorityInfoAccessExtension, X509Certificate } from '@peculiar/x509';
import { loadAddon, type Staple } from './addon.js';
import type { Credential } from './credential.js';
import { TlsOffloadError } from './errors.js';

export interface StaplingStatus {
  readonly subject: string;
  /** When the response that is stapled was made and until when it is served; undefined while none is. */
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  /** Fetches that brought nothing to staple. */
  readonly failures: number;
  /** The responder said so, and nothing is stapled since. */
  readonly isRevoked: boolean;
  /** The certificate promises a staple (RFC 7633), and there is none: clients that check refuse it. */
  readonly isMissing: boolean;
}

const requestTimeoutMilliseconds = 10_000;
/** A response is a few kilobytes (RFC 5019): a bound on what a responder may make us hold. */
const largestResponseBytes = 64 * 1024;
const firstRetryMilliseconds = 30_000;
const longestRetryMilliseconds = 30 * 60_000;
/** tlsfeature status_request (RFC 7633 §4.1). */
const tlsFeature = '1.3.6.1.5.5.7.1.24';
const statusRequest = 5;

/** The OCSP responses of the certificates that a terminator serves. */
export class Staples {
  readonly #byLeaf = new Map<string, OcspStapling>();

  /**
   * @param isFetching  from the responders that the certificates name; else they are handed in alone
   * @param failed  told of each failure; it is tried again
   */
  constructor(
    private readonly isFetching: boolean,
    private readonly failed: (error: TlsOffloadError) => void,
  ) {}

  /** The one of a certificate, begun when it is new. Undefined where the chain lacks the issuer, who would have to answer. */
  of({ chain: [leaf, issuer] }: Credential): OcspStapling | undefined {
    const known = this.#byLeaf.get(leaf.fingerprint256);
    if (known !== undefined || issuer === undefined) return known;
    const added = new OcspStapling(leaf.raw, issuer.raw, this.failed);
    this.#byLeaf.set(leaf.fingerprint256, added);
    if (this.isFetching) added.start();
    return added;
  }

  /** Forgets those of certificates that are served no more. */
  keep(credentials: readonly Credential[]): void {
    const served = new Set(credentials.map(({ chain: [leaf] }) => leaf.fingerprint256));
    for (const [leaf, stapling] of this.#byLeaf) {
      if (served.has(leaf)) continue;
      stapling.close();
      this.#byLeaf.delete(leaf);
    }
  }

  get status(): readonly StaplingStatus[] {
    return [...this.#byLeaf.values()].map(({ status }) => status);
  }
}

/**
 * Keeps the OCSP response of one certificate at hand. It is fetched from the certificate's responder, verified (signature,
 * certificate, times), served until its nextUpdate and not a second longer, and fetched again between a third and two thirds of
 * what is left of it.
 */
export class OcspStapling {
  readonly native: Staple = new (loadAddon().Staple)();
  readonly #stop = new AbortController();
  readonly #subject: string;
  readonly #url: string | undefined;
  readonly #mustStaple: boolean;
  #served: { readonly thisUpdate: Date; readonly nextUpdate: Date } | undefined;
  #isRevoked = false;
  /** thisUpdate of the newest response that said good or revoked, in seconds. */
  #latestUpdate = 0;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param leaf  DER, as `issuer` */
  constructor(
    private readonly leaf: Buffer,
    private readonly issuer: Buffer,
    private readonly failed: (error: TlsOffloadError) => void,
  ) {
    const certificate = new X509Certificate(leaf);
    this.#subject = certificate.subject;
    this.#url = responderOf(certificate);
    this.#mustStaple = promisesStaple(certificate);
  }

  get status(): StaplingStatus {
    const current = this.#served !== undefined && this.#served.nextUpdate > new Date() ? this.#served : undefined;
    const isMissing = this.#mustStaple && current === undefined;
    return { subject: this.#subject, ...current, failures: this.#failures, isRevoked: this.#isRevoked, isMissing };
  }

  /** Fetches, and goes on doing so until `close`. Without a responder there is nothing to fetch. */
  start(): void {
    if (this.#url !== undefined) void this.#refresh(this.#url, firstRetryMilliseconds);
    else if (this.#mustStaple) this.failed(this.#failure('want a responder to ask, got a certificate that names none'));
  }

  /**
   * Serves a response that somebody else has fetched.
   * @param response  DER (RFC 6960 §4.2.1)
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_STAPLE: what was served before is served on, except when this one says revoked and
   * is no older than any before
   */
  accept(response: Uint8Array): void {
    const { verifyOcspResponse } = loadAddon();
    const { fault, isRevoked, thisUpdate, nextUpdate } = verifyOcspResponse(response, this.leaf, this.issuer);
    if (fault !== '' && !isRevoked) throw this.#failure(fault);
    // Else who replays one from before the revocation would have it forgotten.
    if (thisUpdate < this.#latestUpdate) throw this.#failure('want one no older than the last, got an older one');
    this.#latestUpdate = thisUpdate;
    this.#isRevoked = isRevoked;
    if (isRevoked) {
      this.#served = undefined;
      this.native.set(new Uint8Array(0), 0);
      throw this.#failure(fault);
    }
    this.#served = { thisUpdate: new Date(thisUpdate * 1000), nextUpdate: new Date(nextUpdate * 1000) };
    this.native.set(response, nextUpdate);
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.native.set(new Uint8Array(0), 0);
  }

  async #refresh(url: string, retryMilliseconds: number): Promise<void> {
    let next = retryMilliseconds * (0.5 + Math.random() / 2);
    let nextRetry = Math.min(2 * retryMilliseconds, longestRetryMilliseconds);
    try {
      this.accept(await this.#fetch(url));
      next = this.#untilRenewal();
      nextRetry = firstRetryMilliseconds;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#failures++;
      this.failed(error instanceof TlsOffloadError ? error : this.#failure((error as Error).message, error));
    }
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#refresh(url, nextRetry), next).unref();
  }

  /** Somewhere in the middle third of what is left, so that many certificates do not ask at once. */
  #untilRenewal(): number {
    const left = (this.#served?.nextUpdate.getTime() ?? 0) - Date.now();
    return Math.min(Math.max(1_000, (left * (1 + Math.random())) / 3), 2 ** 31 - 1);
  }

  async #fetch(url: string): Promise<Uint8Array> {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/ocsp-request', accept: 'application/ocsp-response' },
      body: new Uint8Array(loadAddon().ocspRequest(this.leaf, this.issuer)),
      redirect: 'error',
      signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(requestTimeoutMilliseconds)]),
    });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw this.#failure(`want 200 of ${url}, got ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > largestResponseBytes) throw this.#failure(`want at most ${largestResponseBytes} bytes, got more`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #failure(what: string, cause?: unknown): TlsOffloadError {
    const missing = this.status.isMissing ? '; the certificate promises a staple (must-staple) and has none' : '';
    return new TlsOffloadError('ERR_TLS_OFFLOAD_STAPLE', `OCSP staple of ${this.#subject}: ${what}${missing}`, {
      cause,
    });
  }
}

function responderOf(certificate: X509Certificate): string | undefined {
  const access = certificate.getExtension(AuthorityInfoAccessExtension);
  return access?.ocsp.find(({ type, value }) => type === 'url' && /^https?:/.test(value))?.value;
}

/** Whether the certificate's TLS features list status_request: SEQUENCE OF INTEGER. */
function promisesStaple(certificate: X509Certificate): boolean {
  const extension = certificate.getExtension(tlsFeature);
  if (extension === null) return false;
  const value = Buffer.from(extension.value);
  return value.includes(Buffer.from([2, 1, statusRequest]));
}
