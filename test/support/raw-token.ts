import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { softHsmModule, type TestToken } from './token.js';

/** A secret key to put on a throw-away token, as no verb of the library can. */
export interface ImportedKey {
  /** CKA_ID, 32 hexadecimal digits. */
  readonly id: string;
  readonly label: string;
  readonly type: 'CKK_AES' | 'CKK_SHA256_HMAC' | 'CKK_GENERIC_SECRET';
  /** Key bytes in hexadecimal. */
  readonly value: string;
  /** The usage attributes that are true; all others are stated false. */
  readonly usage: readonly ('ENCRYPT' | 'DECRYPT' | 'SIGN' | 'VERIFY' | 'WRAP' | 'UNWRAP')[];
  /** CKA_ALLOWED_MECHANISMS, e.g. `CKM_AES_GCM`. */
  readonly mechanisms: readonly string[];
}

/** One object as the token itself reports it; a flag is absent where its class has none. */
export interface RawObject extends Partial<Record<RawFlag, boolean>> {
  /** 2: public key, 3: private key, 4: secret key. */
  readonly class: number;
  readonly label: string;
  readonly id: string;
  /** `readable`, or the error with which the token refuses to show it. */
  readonly VALUE?: string;
  readonly PRIVATE_EXPONENT?: string;
  readonly PRIME_1?: string;
}
type RawFlag =
  | 'TOKEN'
  | 'PRIVATE'
  | 'SENSITIVE'
  | 'EXTRACTABLE'
  | 'MODIFIABLE'
  | 'ENCRYPT'
  | 'DECRYPT'
  | 'SIGN'
  | 'SIGN_RECOVER'
  | 'VERIFY'
  | 'VERIFY_RECOVER'
  | 'WRAP'
  | 'UNWRAP'
  | 'DERIVE';

export function importSecretKeys(token: TestToken, keys: readonly ImportedKey[]): void {
  run(token, 'import', { keys });
}

/** @param ofClass  2: public key, 3: private key, 4: secret key @returns how many objects were destroyed */
export function destroyObjects(token: TestToken, id: string, ofClass: number): number {
  return JSON.parse(run(token, 'destroy', { id, class: ofClass })) as number;
}

/** Every object on the token, the private ones included. */
export function rawObjects(token: SeenToken): RawObject[] {
  return JSON.parse(run(token, 'objects', {})) as RawObject[];
}

/** What it takes to look into a token. */
type SeenToken = Pick<TestToken, 'label' | 'pin' | 'softHsmConf'>;

function run(token: SeenToken, command: string, input: object): string {
  const script = fileURLToPath(new URL('pkcs11-client.mjs', import.meta.url));
  const { label, pin } = token;
  return execFileSync(process.execPath, [script, command], {
    env: { ...process.env, SOFTHSM2_CONF: token.softHsmConf },
    input: JSON.stringify({ module: softHsmModule(), label, pin, ...input }),
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
}
