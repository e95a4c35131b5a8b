import type { HsmKey } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import type { CaCertificate } from '../issuance/ca-certificate.js';
import { type IssuerToken, signingAuthority } from '../issuance/issuer.js';
import { keyIdentifier } from '../issuance/key-identifier.js';
import type { CaObserver } from '../observer.js';
import type { ConfiguredCa } from './configured-ca.js';

interface KeyConfig {
  readonly label: string;
  /** Absent: whichever it was made with. */
  readonly algorithm?: ConfiguredCa['algorithm'];
}

/** A CA's key, if it is on the token. @throws {CaError} ERR_CA_ISSUER_UNUSABLE when there are several, or of another kind */
export async function findCaKey(token: IssuerToken, { label, algorithm }: KeyConfig): Promise<HsmKey | undefined> {
  const keys = await token.listKeys({ label, usage: 'sign' });
  if (keys.length > 1)
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `issuer key ${label}: want one on the token, got ${keys.map(described).join(' and ')}; the CA's is the one whose identifier its certificate has, the other is to go: nest-hsm key destroy URI`,
    );
  const key = keys.at(0);
  if (key !== undefined && algorithm !== undefined && key.algorithm !== algorithm)
    throw new CaError('ERR_CA_ISSUER_UNUSABLE', `issuer key ${label}: want ${algorithm}, got ${key.algorithm}`);
  return key;
}

function described({ uri, spki }: HsmKey): string {
  return spki === undefined ? uri : `${uri} (key identifier ${keyIdentifier(spki).toString('hex')})`;
}

/** Labels are not unique on a token, so callers take turns: two that both miss a key would both make one. */
export async function findOrGenerateCaKey(
  token: IssuerToken,
  { label, algorithm }: Required<KeyConfig>,
  observer: CaObserver,
): Promise<HsmKey> {
  const found = await findCaKey(token, { label, algorithm });
  if (found !== undefined) return found;
  const key = await token.generateKeyPair({ label, algorithm, usage: 'sign' });
  observer.step?.('key-generated', label);
  return key;
}

/** Key identifier in hexadecimal: how rows of the store name the key. */
export function caKeyId(key: HsmKey): string {
  return signingAuthority(key, Buffer.alloc(0)).id;
}

/** The same of a certificate, whoever made it; its SubjectKeyIdentifier may be another. */
export function certificateKeyId({ publicKey }: CaCertificate): string {
  return keyIdentifier(publicKey.export({ format: 'der', type: 'spki' })).toString('hex');
}
