import type { KeyId } from '../key/key.js';

/** One operation, as the agent saw it. Never data, plaintext, signature or PIN. */
export interface AuditEvent {
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  /** `intent`: about to be done, written before the token is asked (key management); `result`: done or refused. */
  readonly kind: 'intent' | 'result';
  readonly client: string;
  readonly operation: string;
  readonly token: string;
  readonly key?: { readonly id: KeyId; readonly label?: string };
  readonly mechanism?: string;
  /** Fingerprints (SHA-256 of the SubjectPublicKeyInfo, hexadecimal) of those a key was exported to. */
  readonly recipients?: readonly string[];
  /** Hexadecimal digest that was signed, so that a signature can be matched with what it is for. */
  readonly digest?: string;
  /** `ok` or an error code, on results. */
  readonly result?: string;
  /** CKR name, when the token failed. */
  readonly returnValue?: string;
  readonly correlationId?: string;
  readonly durationMicroseconds?: number;
}
