/**
 * What each verb does, one straight path each: find the key, ask the policy, check the role, ask the token. Around every
 * path stands the audit trail, so nothing reaches a key unrecorded.
 */
import { HsmError } from '../../errors.js';
import type { KeyId, KeySelector, KeyUsage } from '../../key/key.js';
import type { Answer, DecodedRequest, NewKey, Request, TokenDescription, Verb } from '../protocol.js';
import type { AuditTrail, Operation } from './audit-trail.js';
import type { Call } from './call.js';
import { decrypt, encrypt } from './pkcs11/encryption.js';
import { destroyKey } from './pkcs11/key-destruction.js';
import { generateKey } from './pkcs11/key-generation.js';
import { describeKey, type TokenKey } from './pkcs11/key-inspection.js';
import { unwrapKey } from './pkcs11/key-unwrapping.js';
import { wrapKey } from './pkcs11/key-wrapping.js';
import { mac, sign } from './pkcs11/signing.js';
import type { Token } from './pkcs11/token.js';
import type { Policy } from './policy.js';

const maximumRandomBytes = 4_096;

/** The verbs that reach a token; `hello`, `ping` and `cancel` belong to the connection. */
export type TokenVerb = Exclude<Verb, 'hello' | 'ping' | 'cancel'>;
export type TokenRequest = Extract<DecodedRequest, { header: { verb: TokenVerb } }>;

export class RequestHandler {
  constructor(
    private readonly token: Token,
    private readonly audit: AuditTrail,
    private readonly policy: Policy,
  ) {}

  get description(): TokenDescription {
    return this.token.description;
  }

  /** @throws {HsmError} */
  handle(call: Call, decoded: TokenRequest): Promise<Answer<TokenVerb>> {
    const { verb } = decoded.header;
    switch (verb) {
      case 'sign':
        return this.#sign(call, decoded.request as Request<'sign'>);
      case 'encrypt':
        return this.#encrypt(call, decoded.request as Request<'encrypt'>);
      case 'decrypt':
        return this.#decrypt(call, decoded.request as Request<'decrypt'>);
      case 'mac':
        return this.#mac(call, decoded.request as Request<'mac'>);
      case 'random':
        return this.#random(call, decoded.request as Request<'random'>);
      case 'generateKey':
        return this.#generateKey(call, decoded.request as Request<'generateKey'>);
      case 'findKeys':
        return this.#findKeys(call, decoded.request as Request<'findKeys'>);
      case 'destroyKey':
        return this.#destroyKey(call, decoded.request as Request<'destroyKey'>);
      case 'wrapKey':
        return this.#wrapKey(call, decoded.request as Request<'wrapKey'>);
      case 'unwrapKey':
        return this.#unwrapKey(call, decoded.request as Request<'unwrapKey'>);
    }
  }

  #sign(call: Call, request: Request<'sign'>): Promise<Answer<'sign'>> {
    return this.audit.record(
      call,
      { operation: 'sign', keyId: request.keyId, mechanism: request.scheme },
      async (operation) => {
        const key = await this.#usableKey(call, operation, request.keyId, 'sign');
        this.policy.require('sign', key.label, request.scheme);
        return { signature: await sign(this.token, call, key, request, operation) };
      },
    );
  }

  #encrypt(call: Call, { keyId, data, aad }: Request<'encrypt'>): Promise<Answer<'encrypt'>> {
    return this.audit.record(call, { operation: 'encrypt', keyId }, async (operation) => {
      const key = await this.#usableKey(call, operation, keyId, 'encrypt');
      this.policy.require('encrypt', key.label);
      return { envelope: await encrypt(this.token, call, keyId, asBuffer(data), asBuffer(aad)) };
    });
  }

  #decrypt(call: Call, { keyId, envelope, aad }: Request<'decrypt'>): Promise<Answer<'decrypt'>> {
    return this.audit.record(call, { operation: 'decrypt', keyId }, async (operation) => {
      const key = await this.#usableKey(call, operation, keyId, 'encrypt');
      this.policy.require('decrypt', key.label);
      return { data: await decrypt(this.token, call, keyId, asBuffer(envelope), asBuffer(aad)) };
    });
  }

  #mac(call: Call, { keyId, data }: Request<'mac'>): Promise<Answer<'mac'>> {
    return this.audit.record(call, { operation: 'mac', keyId }, async (operation) => {
      const key = await this.#usableKey(call, operation, keyId, 'mac');
      this.policy.require('mac', key.label);
      return { mac: await mac(this.token, call, keyId, asBuffer(data)) };
    });
  }

  #random(call: Call, { byteLength }: Request<'random'>): Promise<Answer<'random'>> {
    return this.audit.record(call, { operation: 'random' }, async () => {
      if (byteLength < 1 || byteLength > maximumRandomBytes) {
        throw new HsmError(
          'ERR_HSM_ARGUMENT_INVALID',
          `random: want 1 to ${maximumRandomBytes} bytes, got ${byteLength}`,
        );
      }
      const data = await this.token.run(call, 'repeatable', (session) => this.token.native.random(session, byteLength));
      return { data };
    });
  }

  #generateKey(call: Call, key: NewKey): Promise<Answer<'generateKey'>> {
    const operation = { operation: 'generate', keyId: key.id, label: key.label, mechanism: key.algorithm };
    return this.audit.recordWithIntent(call, operation, async () => {
      this.policy.require('generate', key.label);
      return describeKey(await generateKey(this.token, call, key));
    });
  }

  #findKeys(call: Call, selector: KeySelector): Promise<Answer<'findKeys'>> {
    const { id: keyId, label } = selector;
    return this.audit.record(call, { operation: 'find', keyId, label }, async () => {
      const found = await this.token.run(call, 'repeatable', (session) => this.token.keys.list(session, selector));
      const visible = found.filter((key) => this.policy.allows('find', key.label));
      const isNamed = keyId !== undefined || label !== undefined;
      if (isNamed && visible.length < found.length) this.policy.require('find', found[0].label);
      return visible.map(describeKey);
    });
  }

  #destroyKey(call: Call, { keyId }: Request<'destroyKey'>): Promise<Answer<'destroyKey'>> {
    return this.audit.recordWithIntent(call, { operation: 'destroy', keyId }, async (operation) => {
      operation.label = await this.token.run(call, 'repeatable', (session) => this.token.keys.labelOf(session, keyId));
      this.policy.require('destroy', operation.label);
      return { destroyedObjects: await destroyKey(this.token, call, keyId) };
    });
  }

  #wrapKey(call: Call, request: Request<'wrapKey'>): Promise<Answer<'wrapKey'>> {
    const { keyId, wrappingKeyId, algorithm } = request;
    return this.audit.recordWithIntent(call, { operation: 'wrap', keyId, mechanism: algorithm }, async (operation) => {
      const key = await this.#key(call, operation, keyId);
      const wrappingKey = await this.token.key(call, wrappingKeyId);
      this.policy.require('wrap', key.label, algorithm);
      this.policy.require('wrap', wrappingKey.label, algorithm);
      return { wrapped: await wrapKey(this.token, call, request) };
    });
  }

  #unwrapKey(call: Call, request: Request<'unwrapKey'>): Promise<Answer<'unwrapKey'>> {
    const { key, unwrappingKeyId, algorithm } = request;
    const operation = { operation: 'unwrap', keyId: key.id, label: key.label, mechanism: algorithm };
    return this.audit.recordWithIntent(call, operation, async () => {
      const unwrappingKey = await this.token.key(call, unwrappingKeyId);
      this.policy.require('unwrap', unwrappingKey.label, algorithm);
      this.policy.require('unwrap', key.label, algorithm);
      return describeKey(await unwrapKey(this.token, call, request));
    });
  }

  async #key(call: Call, operation: Operation, keyId: KeyId): Promise<TokenKey> {
    const key = await this.token.key(call, keyId);
    operation.label = key.label;
    return key;
  }

  /** A key for data or messages: of the one usage, and never one that was made to leave the token. */
  async #usableKey(call: Call, operation: Operation, keyId: KeyId, usage: KeyUsage): Promise<TokenKey> {
    const key = await this.#key(call, operation, keyId);
    if (key.usage !== usage) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": want usage ${usage}, got ${key.usage}`);
    }
    if (key.extractable) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": an extractable key may only be wrapped`);
    }
    return key;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
