/**
 * What each verb does, one straight path each: find the key, ask the policy, check the role, ask the token. Around every
 * path stands the audit trail, so nothing reaches a key unrecorded.
 */
import { fingerprint } from '../../algorithm/encoding-public-key.js';
import { HsmError } from '../../errors.js';
import type { KeyId, KeyUsage } from '../../key/key.js';
import { toPage } from '../message-parts.js';
import type {
  Answer,
  NewKey,
  PolicyOperation,
  Received,
  ReceivedRequest,
  TokenDescription,
  Verb,
} from '../protocol.js';
import type { AuditTrail, Operation } from './audit-trail.js';
import type { Call } from './call.js';
import { isCheckValueOf, makeCheckValue } from './pkcs11/check-value.js';
import { decrypt, encrypt } from './pkcs11/encryption.js';
import { destroyKey } from './pkcs11/key-destruction.js';
import { exportKey } from './pkcs11/key-export.js';
import { generateKey } from './pkcs11/key-generation.js';
import { importKey } from './pkcs11/key-import.js';
import { describeKey, type Permit, type TokenKey } from './pkcs11/key-inspection.js';
import type { Visibility } from './pkcs11/key-listing.js';
import { transferKey } from './pkcs11/key-transfer.js';
import { unwrapKey } from './pkcs11/key-unwrapping.js';
import { wrapKey } from './pkcs11/key-wrapping.js';
import type { SessionHandle } from './pkcs11/native.js';
import { mac, sign, signedDigest } from './pkcs11/signing.js';
import type { Token } from './pkcs11/token.js';
import type { Policy } from './policy.js';

const maximumRandomBytes = 4_096;

/** The verbs that reach a token; `hello`, `ping` and `cancel` belong to the connection. */
export type TokenVerb = Exclude<Verb, 'hello' | 'ping' | 'cancel'>;
export type TokenRequest = Extract<ReceivedRequest, { verb: TokenVerb }>;

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
  handle(call: Call, { verb, request }: TokenRequest): Promise<Answer<TokenVerb>> {
    switch (verb) {
      case 'sign':
        return this.#sign(call, request);
      case 'encrypt':
        return this.#encrypt(call, request);
      case 'decrypt':
        return this.#decrypt(call, request);
      case 'mac':
        return this.#mac(call, request);
      case 'random':
        return this.#random(call, request);
      case 'generateKey':
        return this.#generateKey(call, request);
      case 'findKeys':
        return this.#findKeys(call, request);
      case 'inspectObjects':
        return this.#inspectObjects(call, request);
      case 'checkKey':
        return this.#checkKey(call, request);
      case 'destroyKey':
        return this.#destroyKey(call, request);
      case 'wrapKey':
        return this.#wrapKey(call, request);
      case 'unwrapKey':
        return this.#unwrapKey(call, request);
      case 'exportKey':
        return this.#exportKey(call, request);
      case 'importKey':
        return this.#importKey(call, request);
      case 'transferKey':
        return this.#transferKey(call, request);
    }
  }

  #sign(call: Call, request: Received<'sign'>): Promise<Answer<'sign'>> {
    const operation: KeyOperation = { operation: 'sign', keyId: request.keyId, mechanism: request.scheme };
    const work = (session: SessionHandle, key: TokenKey) => sign(this.token, session, key, request, operation);
    return this.#use(call, operation, 'sign', work, () => signedDigest(request));
  }

  #encrypt(call: Call, { keyId, data, aad }: Received<'encrypt'>): Promise<Answer<'encrypt'>> {
    return this.#use(call, { operation: 'encrypt', keyId }, 'encrypt', async (session, key) => ({
      envelope: await encrypt(this.token, session, key, data, aad),
    }));
  }

  #decrypt(call: Call, { keyId, envelope, aad }: Received<'decrypt'>): Promise<Answer<'decrypt'>> {
    return this.#use(call, { operation: 'decrypt', keyId }, 'encrypt', async (session, key) => ({
      data: await decrypt(this.token, session, key, envelope, aad),
    }));
  }

  #mac(call: Call, { keyId, data }: Received<'mac'>): Promise<Answer<'mac'>> {
    return this.#use(call, { operation: 'mac', keyId }, 'mac', async (session, key) => ({
      mac: await mac(this.token, session, key, data),
    }));
  }

  /** An operation on data or a message, with a key of the one usage that was not made to leave the token. */
  #use<T extends object>(
    call: Call,
    operation: KeyOperation,
    usage: KeyUsage,
    work: (session: SessionHandle, key: TokenKey) => Promise<T>,
    digest?: () => Buffer,
  ): Promise<T> {
    const permit = (label: string): void => {
      operation.label = label;
      this.policy.require(operation.operation, label, operation.mechanism);
    };
    const tryOnce = (session: SessionHandle): Promise<T> => {
      const key = this.token.keys.one(session, operation.keyId, permit);
      permit(key.label);
      requireUsable(key, usage);
      if (!this.audit.isToBeIntended(operation)) return work(session, key);
      // Looked up again after the wait, since handles go with the login.
      return this.audit
        .intend(call, operation, digest)
        .then(() => work(session, this.token.keys.one(session, operation.keyId)));
    };
    const onRetry = (error: HsmError): void => this.audit.triedInVain(call, operation, error);
    return this.audit.record(call, operation, () => this.token.run(call, 'repeatable', tryOnce, onRetry));
  }

  #random(call: Call, { byteLength }: Received<'random'>): Promise<Answer<'random'>> {
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
    const permit = (): void => this.policy.require('generate', key.label);
    return this.audit.recordWithIntent(call, operation, permit, async () =>
      describeKey(await generateKey(this.token, call, key)),
    );
  }

  #findKeys(call: Call, { after, limit, ...selector }: Received<'findKeys'>): Promise<Answer<'findKeys'>> {
    const { id: keyId, label } = selector;
    return this.audit.record(call, { operation: 'find', keyId, label }, async () => {
      const permit = (hidden: string): void => this.policy.require('find', hidden);
      const { keys: found, next } = await this.token.run(call, 'repeatable', (session) =>
        this.token.keys.page(session, selector, { after, limit }, this.#mayFind, permit),
      );
      // Whoever asks for one must not be told that it is not there.
      for (const key of found) permit(key.label);
      return toPage(found.map(describeKey), next);
    });
  }

  #inspectObjects(call: Call, request: Received<'inspectObjects'>): Promise<Answer<'inspectObjects'>> {
    return this.audit.record(call, { operation: 'inspect' }, async () => {
      const page = await this.token.run(call, 'repeatable', (session) =>
        this.token.keys.inspect(session, request, this.#mayInspect),
      );
      const hidden = page.objects.find((object) => !this.#mayInspect(object));
      if (hidden !== undefined && request.id !== undefined) this.policy.require('find', hidden.label);
      return { ...page, objects: page.objects.filter(this.#mayInspect) };
    });
  }

  #checkKey(call: Call, { keyId, checkValue }: Received<'checkKey'>): Promise<Answer<'checkKey'>> {
    return this.audit.record(call, { operation: 'check', keyId }, (operation) =>
      this.token.run(call, 'repeatable', async (session) => {
        const permit = (label: string): void => {
          operation.label = label;
          this.policy.require('find', label);
        };
        const key = this.token.keys.one(session, keyId, permit);
        permit(key.label);
        if (checkValue === undefined) {
          const made = await makeCheckValue(this.token, session, key);
          return { checkValue: made, matches: made !== undefined };
        }
        return { matches: await isCheckValueOf(this.token, session, key, checkValue) };
      }),
    );
  }

  #destroyKey(call: Call, { keyId, spki }: Received<'destroyKey'>): Promise<Answer<'destroyKey'>> {
    // Whose label it is shows when its objects are found, which its intent must precede.
    const permitAny = (): void => this.policy.requireOnAny('destroy');
    return this.audit.recordWithIntent(call, { operation: 'destroy', keyId }, permitAny, async (operation) => {
      const permit = (label: string): void => {
        operation.label ??= label;
        this.policy.require('destroy', label);
      };
      return { destroyedObjects: await destroyKey(this.token, call, { keyId, spki }, permit) };
    });
  }

  #wrapKey(call: Call, request: Received<'wrapKey'>): Promise<Answer<'wrapKey'>> {
    const { keyId, wrappingKeyId, algorithm } = request;
    const permit = async (operation: Operation): Promise<void> => {
      const permitOne = (label: string): void => this.policy.require('wrap', label, algorithm);
      await this.#permit(call, keyId, (label) => {
        operation.label = label;
        permitOne(label);
      });
      await this.#permit(call, wrappingKeyId, permitOne);
    };
    const operation = { operation: 'wrap', keyId, mechanism: algorithm };
    return this.audit.recordWithIntent(call, operation, permit, async () => ({
      wrapped: await wrapKey(this.token, call, request),
    }));
  }

  #unwrapKey(call: Call, request: Received<'unwrapKey'>): Promise<Answer<'unwrapKey'>> {
    const { key, unwrappingKeyId, algorithm } = request;
    const operation = { operation: 'unwrap', keyId: key.id, label: key.label, mechanism: algorithm };
    const permit = async (): Promise<void> => {
      const permitOne = (label: string): void => this.policy.require('unwrap', label, algorithm);
      permitOne(key.label);
      await this.#permit(call, unwrappingKeyId, permitOne);
    };
    return this.audit.recordWithIntent(call, operation, permit, async () =>
      describeKey(await unwrapKey(this.token, call, request)),
    );
  }

  #exportKey(call: Call, request: Received<'exportKey'>): Promise<Answer<'exportKey'>> {
    const { keyId } = request;
    const recipients = request.recipients.map(({ spki, algorithm }) => ({ recipient: fingerprint(spki), algorithm }));
    const operation = { operation: 'export', keyId, recipients: recipients.map(({ recipient }) => recipient) };
    const permit = (exporting: Operation): Promise<void> =>
      this.#permit(call, keyId, (label) => {
        exporting.label = label;
        // Whoever names nobody is told nothing either.
        this.policy.require('export', label);
        for (const { algorithm, recipient } of recipients) this.policy.require('export', label, algorithm, recipient);
      });
    return this.audit.recordWithIntent(call, operation, permit, () => exportKey(this.token, call, request));
  }

  #importKey(call: Call, request: Received<'importKey'>): Promise<Answer<'importKey'>> {
    const { key, unwrappingKeyId, algorithm } = request;
    const operation = { operation: 'import', keyId: key.id, label: key.label, mechanism: algorithm };
    const permit = async (): Promise<void> => {
      const permitOne = (label: string): void => this.policy.require('import', label, algorithm);
      permitOne(key.label);
      await this.#permit(call, unwrappingKeyId, permitOne);
    };
    return this.audit.recordWithIntent(call, operation, permit, async () =>
      describeKey(await importKey(this.token, call, request)),
    );
  }

  #transferKey(call: Call, request: Received<'transferKey'>): Promise<Answer<'transferKey'>> {
    const { key, unwrappingKeyId, algorithm } = request;
    const recipients = request.recipients.map(({ spki, algorithm: how }) => ({ recipient: fingerprint(spki), how }));
    const identity = { operation: 'transfer', keyId: key.id, label: key.label, mechanism: algorithm };
    const operation = { ...identity, recipients: recipients.map(({ recipient }) => recipient) };
    const permit = async (): Promise<void> => {
      for (const { recipient, how } of recipients) this.policy.require('export', key.label, how, recipient);
      await this.#permit(call, unwrappingKeyId, (label) => this.policy.require('unwrap', label, algorithm));
    };
    return this.audit.recordWithIntent(call, operation, permit, () => transferKey(this.token, call, request));
  }

  /** Asks the policy about a key's label, and that before anything else is told of the key. */
  async #permit(call: Call, id: KeyId, permit: Permit): Promise<void> {
    permit((await this.token.key(call, id, permit)).label);
  }

  readonly #mayFind: Visibility = ({ label }) => this.policy.allows('find', label);

  readonly #mayInspect: Visibility = ({ label }) =>
    this.policy.allows('find', label) || this.policy.allows('destroy', label);
}

/** One key, and an operation that the policy knows. */
interface KeyOperation extends Operation {
  readonly operation: PolicyOperation;
  readonly keyId: KeyId;
}

function requireUsable(key: TokenKey, usage: KeyUsage): void {
  if (key.usage !== usage) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": want usage ${usage}, got ${key.usage}`);
  }
  if (key.extractable) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": an extractable key may only be wrapped`);
  }
}
