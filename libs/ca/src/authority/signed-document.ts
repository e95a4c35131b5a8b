import type { IssuerToken, SigningAuthority } from '../issuance/issuer.js';
import { digestOf, signVerified } from '../issuance/signing.js';
import type { AuthorityStore, SignedDocument } from '../store/authority-store.js';

interface DocumentContext {
  readonly token: IssuerToken;
  readonly authorities: AuthorityStore;
  readonly now: () => Date;
}

/**
 * Signs octets that are neither certificate nor CRL with a CA's key. They are committed first, so that the signature's record in
 * the audit trail has its counterpart whatever crashes.
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE | ERR_CA_SIGNATURE_INVALID
 * @throws {HsmError} as `Hsm.sign`
 */
export async function signDocument(
  { token, authorities, now }: DocumentContext,
  authority: SigningAuthority,
  kind: SignedDocument['kind'],
  octets: Buffer,
): Promise<Buffer> {
  await authorities.recordDocument({
    sha256: digestOf(octets),
    issuerId: authority.id,
    kind,
    octets,
    signedAt: now(),
  });
  return signVerified(token, authority, octets);
}
