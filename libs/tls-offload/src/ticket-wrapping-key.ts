import type { Hsm, HsmKey } from '@nest-hsm/hsm';

/**
 * The versions of the key that wraps the keys of session tickets, newest first; it is made (AES-256) where there is none.
 * @throws {HsmError} as `Hsm.findKey` and `Hsm.generateSecretKey`
 */
export async function wrappingKeyVersions(hsm: Hsm, label: string): Promise<readonly HsmKey[]> {
  const selector = { label, usage: 'encrypt' } as const;
  const keys = await hsm.listKeys(selector);
  // Replicas that start together may each make the first: found by its label it is the same one for all.
  if (keys.length === 0) await hsm.generateSecretKey({ label, algorithm: 'aes-256', usage: 'encrypt', first: true });
  const newest = await hsm.findKey(selector);
  return [newest, ...keys.filter(({ version }) => version < newest.version).sort((a, b) => b.version - a.version)];
}
