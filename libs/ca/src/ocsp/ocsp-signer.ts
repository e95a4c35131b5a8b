import type { TrafficClass } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import type { Issuer, IssuerToken } from '../issuance/issuer.js';
import { signVerified } from '../issuance/signing.js';
import { backdateMilliseconds } from '../issuance/validity.js';
import type { CertIdHash, StoredOcspResponse } from '../store/ocsp-store.js';
import type { StatusChange } from '../store/revocation-store.js';
import { certIdHashes, encodeCertId, type IssuerHashes, issuerHashes } from './cert-id.js';
import { encodeOcspResponse, encodeResponseData, type SingleResponse } from './ocsp-response.js';
import { lintOcspResponse } from './ocsp-rules.js';
import type { Responder, ResponderCredential } from './responder-credential.js';

/** A certificate and what is known of it. */
export interface CertificateState {
  readonly serial: string;
  /** Undefined: nothing was ever decided, so it is good. */
  readonly status: Pick<StatusChange, 'state' | 'reason' | 'revokedAt'> | undefined;
  /** 0 when there is none. */
  readonly sequence: number;
}

export interface OcspSignerContext {
  readonly token: IssuerToken;
  readonly validityHours: number;
  readonly now: () => Date;
}

/** Signs OCSP responses for the certificates of one issuer. */
export class OcspSigner {
  readonly #hashes: Readonly<Record<CertIdHash, IssuerHashes>>;

  constructor(
    private readonly context: OcspSignerContext,
    readonly issuer: Issuer,
    readonly credential: ResponderCredential,
  ) {
    this.#hashes = { sha1: issuerHashes(issuer, 'sha1'), sha256: issuerHashes(issuer, 'sha256') };
  }

  /** What the issuer's CertIDs begin with, under each hash. */
  get hashes(): IssuerHashes[] {
    return certIdHashes.map((hash) => this.#hashes[hash]);
  }

  /** Whether the responder of now has signed it: an earlier one's key may have been given up. Without a responder it stands. */
  hasSigned({ der }: Pick<StoredOcspResponse, 'der'>): boolean {
    const { current } = this.credential;
    return current === undefined || der.includes(current.keyHash);
  }

  /**
   * A response about one certificate, to be kept and given to everybody.
   * @param trafficClass  `interactive` when somebody on the network waits for it
   * @throws {HsmError} @throws {CaError} ERR_CA_ISSUER_UNUSABLE
   */
  async presign(
    certificate: CertificateState,
    hash: CertIdHash,
    trafficClass: TrafficClass = 'issuance',
  ): Promise<StoredOcspResponse> {
    const { der, thisUpdate, nextUpdate } = await this.#sign([certificate], hash, trafficClass);
    const refreshAt = new Date((thisUpdate.getTime() + nextUpdate.getTime()) / 2);
    const { serial, sequence } = certificate;
    return { issuerId: this.issuer.id, serial, hash, der, thisUpdate, nextUpdate, refreshAt, sequence };
  }

  /**
   * A response for whoever asked.
   * @param nonce  1 to 128 octets
   * @returns DER of the OCSPResponse
   * @throws {HsmError} @throws {CaError} ERR_CA_ISSUER_UNUSABLE when there is no responder certificate in force
   */
  async sign(certificates: readonly CertificateState[], hash: CertIdHash, nonce?: Buffer): Promise<Buffer> {
    return (await this.#sign(certificates, hash, 'interactive', nonce)).der;
  }

  /** ResponseData → lint → signed → verified → OCSPResponse. */
  async #sign(
    certificates: readonly CertificateState[],
    hash: CertIdHash,
    trafficClass: TrafficClass,
    nonce?: Buffer,
  ): Promise<{ der: Buffer; thisUpdate: Date; nextUpdate: Date }> {
    const responder = this.#responder();
    const producedAt = wholeSeconds(this.context.now());
    const responses = certificates.map((each) => this.#single(each, hash, producedAt, responder));
    const content = {
      responderKeyHash: responder.keyHash,
      producedAt,
      responses,
      ...(nonce !== undefined && { nonce }),
    };
    const data = encodeResponseData(content);
    lintOcspResponse(data, { ...content, responderValidity: responder.validity });
    const { authority, certificate } = responder;
    const signature = await signVerified(this.context.token, authority, data, { trafficClass, verifiesHere: true });
    const der = encodeOcspResponse(data, authority.signatureAlgorithm.identifier, signature, certificate);
    const [{ thisUpdate, nextUpdate }] = responses;
    return { der, thisUpdate, nextUpdate };
  }

  #single(
    { serial, status }: CertificateState,
    hash: CertIdHash,
    producedAt: Date,
    { validity }: Responder,
  ): SingleResponse {
    const revoked = status === undefined || status.state === 'released' ? undefined : status;
    // What was ever changed is dated now: a release must not look older than the hold.
    const backdated = producedAt.getTime() - (status === undefined ? backdateMilliseconds : 0);
    // Not before what it tells of, nor before its responder's certificate.
    const from = Math.max(backdated, revoked?.revokedAt.getTime() ?? 0, validity.notBefore.getTime());
    const thisUpdate = Math.min(from, producedAt.getTime());
    const end = Math.min(thisUpdate + this.context.validityHours * 3_600_000, validity.notAfter.getTime());
    const certId = encodeCertId(this.#hashes[hash], serial);
    return { certId, revoked, thisUpdate: new Date(thisUpdate), nextUpdate: new Date(end) };
  }

  #responder(): Responder {
    const responder = this.credential.current;
    if (responder !== undefined) return responder;
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `OCSP responder of ${this.issuer.key.label}: want a certificate in force, got none`,
    );
  }
}

function wholeSeconds(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}
