/** What is measured: the calls that applications make, each on a key of the measurement's own. */
import { randomBytes } from 'node:crypto';
import type { AsymmetricKeyAlgorithm, CallOptions, Hsm, HsmKey, SignatureScheme } from '@nest-hsm/hsm';
import { CliError } from '../../faults.js';

/** How long one call may take: making an RSA-4096 pair takes seconds. */
const deadlineMilliseconds = 60_000;
const dataKeyBytes = 32;

/** One operation, made ready. */
export interface ReadyOperation {
  readonly call: (signal: AbortSignal) => Promise<unknown>;
}

interface Operation {
  /** Keys that one call leaves behind. */
  readonly keysPerCall: 0 | 1;
  /** @param label  of every key that it makes */
  readonly prepare: (hsm: Hsm, label: string) => Promise<ReadyOperation>;
}

const operations = {
  'ecdsa-p256': signature('ec-p256', 'ecdsa-sha256'),
  'ecdsa-p384': signature('ec-p384', 'ecdsa-sha384'),
  'ecdsa-p521': signature('ec-p521', 'ecdsa-sha512'),
  ed25519: signature('ed25519', 'ed25519'),
  'rsa-2048': signature('rsa-2048', 'rsa-pkcs1-sha256'),
  'rsa-3072': signature('rsa-3072', 'rsa-pkcs1-sha256'),
  'rsa-4096': signature('rsa-4096', 'rsa-pkcs1-sha256'),
  /** A data key under a KEK (AES-256-GCM). */
  encrypt: {
    keysPerCall: 0,
    async prepare(hsm, label) {
      const kek = await makeKek(hsm, label);
      const dataKey = randomBytes(dataKeyBytes);
      return { call: (signal) => hsm.encrypt(kek, dataKey, options(signal)) };
    },
  },
  /** The same data key back, as a process does when it starts or meets a row it has no key for. */
  unwrap: {
    keysPerCall: 0,
    async prepare(hsm, label) {
      const kek = await makeKek(hsm, label);
      const envelope = await hsm.encrypt(kek, randomBytes(dataKeyBytes));
      return { call: (signal) => hsm.decrypt(kek, envelope, options(signal)) };
    },
  },
  mac: {
    keysPerCall: 0,
    async prepare(hsm, label) {
      const key = await hsm.generateSecretKey({ label, algorithm: 'hmac-sha256', usage: 'mac', measurement: true });
      const message = randomBytes(dataKeyBytes);
      return { call: (signal) => hsm.mac(key, message, options(signal)) };
    },
  },
  'generate-ec-p256': generation('ec-p256'),
  'generate-rsa-2048': generation('rsa-2048'),
  'generate-rsa-3072': generation('rsa-3072'),
  'generate-rsa-4096': generation('rsa-4096'),
  'generate-aes-256': {
    keysPerCall: 1,
    prepare: (hsm, label) => Promise.resolve({ call: () => makeKek(hsm, label) }),
  },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;
export const operationNames = Object.keys(operations) as readonly OperationName[];

export function operation(name: OperationName): Operation {
  return operations[name];
}

/** @throws {CliError} ERR_CLI_ARGUMENT listing the names */
export function parseOperation(name: string): OperationName {
  const found = operationNames.find((each) => each === name);
  if (found !== undefined) return found;
  throw new CliError('ERR_CLI_ARGUMENT', `operation: want one of ${operationNames.join(', ')}, got "${name}"`);
}

function signature(algorithm: AsymmetricKeyAlgorithm, scheme: SignatureScheme): Operation {
  return {
    keysPerCall: 0,
    async prepare(hsm, label) {
      const key = await hsm.generateKeyPair({ label, algorithm, measurement: true }, options());
      const message = randomBytes(dataKeyBytes);
      return { call: (signal) => hsm.sign(key, scheme, message, options(signal)) };
    },
  };
}

function generation(algorithm: AsymmetricKeyAlgorithm): Operation {
  return {
    keysPerCall: 1,
    // Not to be aborted: whether the key exists would not be known then.
    prepare: (hsm, label) =>
      Promise.resolve({ call: () => hsm.generateKeyPair({ label, algorithm, measurement: true }, options()) }),
  };
}

function makeKek(hsm: Hsm, label: string): Promise<HsmKey> {
  return hsm.generateSecretKey({ label, algorithm: 'aes-256', usage: 'encrypt', measurement: true }, options());
}

function options(signal?: AbortSignal): CallOptions {
  return { deadlineMilliseconds, signal };
}
