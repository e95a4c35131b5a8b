import type { Hsm, HsmKey } from '@nest-hsm/hsm';

/** @param name  a label, which names the newest version, or a `pkcs11:` URI */
export function findKey(hsm: Hsm, name: string): Promise<HsmKey> {
  return hsm.findKey(name.startsWith('pkcs11:') ? name : { label: name });
}

/** What may be shown of a key: never a handle, never a secret. */
export function describe({
  label,
  algorithm,
  usage,
  version,
  madeOn,
  id,
  uri,
  members,
  publicKey,
}: HsmKey): Record<string, unknown> {
  return {
    ...{ label, algorithm, usage, version, madeOn, id, uri, members },
    ...(publicKey && { publicKey: pem(publicKey) }),
  };
}

export function pem(publicKey: NonNullable<HsmKey['publicKey']>): string {
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}
