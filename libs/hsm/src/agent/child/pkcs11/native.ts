/**
 * The one import of the PKCS#11 binding. What is done with a key millions of times (sign, encrypt, decrypt) goes through our
 * own addon (token-calls.ts), which never blocks the event loop; pkcs11js does all the rest. graphene-pk11, the object layer
 * on top of it, is not loaded: it would serve for listing slots only, and takes as long to load as all the rest of an agent's
 * start, which is the time a caller waits for a respawn.
 *
 * pkcs11js's asynchronous calls run on libuv's pool (its size is UV_THREADPOOL_SIZE, set by who spawns the agent). Its others
 * (finding, reading, sessions, logins) block the event loop for the length of one round trip to the token; an agent that a
 * frozen token blocks this way no longer answers `ping` and is killed by its parent.
 */
import pkcs11js from 'pkcs11js';
import { type OnePartMechanism, type Operation, TokenCalls } from './token-calls.js';

/** The names of pkcs11t.h; those of PKCS #11 v3.0 that the binding lacks are added. */
export const ck = Object.freeze({
  ...pkcs11js,
  CKK_EC_EDWARDS: 0x40,
  CKM_EC_EDWARDS_KEY_PAIR_GEN: 0x1055,
  CKM_EDDSA: 0x1057,
  CKM_AES_KEY_WRAP_KWP: 0x210b,
  CKZ_DATA_SPECIFIED: 1,
  CKR_ACTION_PROHIBITED: 0x1b,
  CKS_RO_USER_FUNCTIONS: 1,
  CKS_RW_USER_FUNCTIONS: 3,
});

declare const brand: unique symbol;
export type SessionHandle = Buffer & { readonly [brand]: 'session' };
export type ObjectHandle = Buffer & { readonly [brand]: 'object' };
export type SlotHandle = Buffer & { readonly [brand]: 'slot' };
export type Mechanism = pkcs11js.Mechanism;
export type Attribute = pkcs11js.Attribute;

/** A PKCS#11 function returned something else than CKR_OK. */
export class ReturnValueError extends Error {
  override readonly name = 'ReturnValueError';
  constructor(
    /** The CK_RV, as the token gave it. */
    readonly returnValue: number,
    /** The C function, e.g. `C_Sign`. */
    readonly pkcs11Function: string,
  ) {
    super(`${pkcs11Function} returned 0x${returnValue.toString(16)}`);
  }
}

/** What a slot holds. Strings are trimmed of PKCS#11's blank padding. */
export interface SlotContent {
  readonly slot: SlotHandle;
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly flags: number;
  /** Of a PIN, in bytes. */
  readonly minimumPinBytes: number;
  readonly maximumPinBytes: number;
}

/** Of CK_TOKEN_INFO: the binding hands the pointer on, and the module reads as many bytes whatever it points to. */
const labelBytes = 32;

/** A loaded and initialised PKCS#11 module. */
export class Native {
  readonly #lib: pkcs11js.PKCS11;
  readonly #calls: TokenCalls;

  /** dlopen and C_Initialize. @throws {ReturnValueError} or the loader's own error */
  constructor(path: string) {
    this.#calls = new TokenCalls(path, (value, pkcs11Function) => new ReturnValueError(value, pkcs11Function));
    this.#lib = new pkcs11js.PKCS11();
    this.#lib.load(this.#calls.library);
    // Without it p11-kit refuses (CKR_CANT_LOCK) and SoftHSM, worse, accepts and crashes under concurrent calls.
    checked('C_Initialize', () => this.#lib.C_Initialize({ flags: ck.CKF_OS_LOCKING_OK }));
  }

  /** Never while a call is in flight: SoftHSM then crashes, and once left a token file empty. */
  finalize(): void {
    this.#calls.close();
    checked('C_Finalize', () => this.#lib.C_Finalize());
  }

  /** The slots that hold a token. */
  slots(): SlotHandle[] {
    return checked('C_GetSlotList', () => this.#lib.C_GetSlotList(true)) as SlotHandle[];
  }

  slotContent(slot: SlotHandle): SlotContent {
    const info = checked('C_GetTokenInfo', () => this.#lib.C_GetTokenInfo(slot));
    return {
      slot,
      label: info.label.trim(),
      serial: info.serialNumber.trim(),
      manufacturer: info.manufacturerID.trim(),
      model: info.model.trim(),
      flags: info.flags,
      minimumPinBytes: Number(info.minPinLen),
      maximumPinBytes: Number(info.maxPinLen),
    };
  }

  mechanisms(slot: SlotHandle): Set<number> {
    return new Set(checked('C_GetMechanismList', () => this.#lib.C_GetMechanismList(slot)));
  }

  openSession(slot: SlotHandle): SessionHandle {
    const flags = ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION;
    return checked('C_OpenSession', () => this.#lib.C_OpenSession(slot, flags) as SessionHandle);
  }

  closeSession(session: SessionHandle): void {
    checked('C_CloseSession', () => this.#lib.C_CloseSession(session));
  }

  isLoggedIn(session: SessionHandle): boolean {
    const { state } = checked('C_GetSessionInfo', () => this.#lib.C_GetSessionInfo(session));
    return state === ck.CKS_RW_USER_FUNCTIONS || state === ck.CKS_RO_USER_FUNCTIONS;
  }

  /** The binding takes a string, which cannot be zeroed; it lives no longer than this call. */
  login(session: SessionHandle, pin: Buffer): void {
    checked('C_Login', () => this.#lib.C_Login(session, ck.CKU_USER, pin.toString('utf8')));
  }

  loginSecurityOfficer(session: SessionHandle, pin: Buffer): void {
    checked('C_Login', () => this.#lib.C_Login(session, ck.CKU_SO, pin.toString('utf8')));
  }

  logout(session: SessionHandle): void {
    checked('C_Logout', () => this.#lib.C_Logout(session));
  }

  /** Destroys every object of the token. @param label  at most 32 bytes; the token has it padded with blanks */
  initToken(slot: SlotHandle, securityOfficerPin: Buffer, label: string): void {
    const padded = label + ' '.repeat(labelBytes - Buffer.byteLength(label));
    checked('C_InitToken', () => this.#lib.C_InitToken(slot, securityOfficerPin.toString('utf8'), padded));
  }

  /** The user's PIN, set by the security officer who is logged in. */
  initPin(session: SessionHandle, pin: Buffer): void {
    checked('C_InitPIN', () => this.#lib.C_InitPIN(session, pin.toString('utf8')));
  }

  /** The PIN of whoever is logged in. */
  setPin(session: SessionHandle, oldPin: Buffer, newPin: Buffer): void {
    checked('C_SetPIN', () => this.#lib.C_SetPIN(session, oldPin.toString('utf8'), newPin.toString('utf8')));
  }

  findObjects(session: SessionHandle, template: Attribute[]): ObjectHandle[] {
    checked('C_FindObjectsInit', () => this.#lib.C_FindObjectsInit(session, template));
    const found: ObjectHandle[] = [];
    for (;;) {
      const some = checked('C_FindObjects', () => this.#lib.C_FindObjects(session, 64)) as ObjectHandle[];
      found.push(...some);
      if (some.length === 0) break;
    }
    checked('C_FindObjectsFinal', () => this.#lib.C_FindObjectsFinal(session));
    return found;
  }

  /** One value per type, in order; all must exist on the object. */
  attributes(session: SessionHandle, object: ObjectHandle, types: readonly number[]): Buffer[] {
    const template = types.map((type) => ({ type }));
    return checked('C_GetAttributeValue', () =>
      this.#lib.C_GetAttributeValue(session, object, template).map(({ value }) => value),
    );
  }

  createObject(session: SessionHandle, template: Attribute[]): ObjectHandle {
    return checked('C_CreateObject', () => this.#lib.C_CreateObject(session, template) as ObjectHandle);
  }

  destroyObject(session: SessionHandle, object: ObjectHandle): void {
    checked('C_DestroyObject', () => this.#lib.C_DestroyObject(session, object));
  }

  random(session: SessionHandle, byteLength: number): Buffer {
    return checked('C_GenerateRandom', () => this.#lib.C_GenerateRandom(session, Buffer.alloc(byteLength)));
  }

  readonly sign = this.#onePart('sign');
  readonly encrypt = this.#onePart('encrypt');
  readonly decrypt = this.#onePart('decrypt');

  /**
   * An operation over data that is given whole; `outputBytes` is the room for its output, of which `read` makes the result before
   * it is wiped.
   */
  #onePart(operation: Operation) {
    return <T>(
      session: SessionHandle,
      mechanism: OnePartMechanism,
      key: ObjectHandle,
      data: Buffer,
      outputBytes: number,
      read: (output: Buffer) => T,
    ): Promise<T> => this.#calls.make(operation, session, mechanism, key, data, outputBytes, read);
  }

  async generateKey(session: SessionHandle, mechanism: Mechanism, template: Attribute[]): Promise<ObjectHandle> {
    return settled<Buffer>('C_GenerateKey', [mechanism], (done) =>
      this.#lib.C_GenerateKey(session, mechanism, template, done),
    ) as Promise<ObjectHandle>;
  }

  async generateKeyPair(
    session: SessionHandle,
    mechanism: Mechanism,
    publicTemplate: Attribute[],
    privateTemplate: Attribute[],
  ): Promise<{ publicKey: ObjectHandle; privateKey: ObjectHandle }> {
    return settled<{ publicKey: Buffer; privateKey: Buffer }>('C_GenerateKeyPair', [mechanism], (done) =>
      this.#lib.C_GenerateKeyPair(session, mechanism, publicTemplate, privateTemplate, done),
    ) as Promise<{ publicKey: ObjectHandle; privateKey: ObjectHandle }>;
  }

  async wrapKey(
    session: SessionHandle,
    mechanism: Mechanism,
    wrappingKey: ObjectHandle,
    key: ObjectHandle,
    maximumBytes: number,
  ): Promise<Buffer> {
    return settled('C_WrapKey', [mechanism], (done) =>
      this.#lib.C_WrapKey(session, mechanism, wrappingKey, key, Buffer.alloc(maximumBytes), done),
    );
  }

  async unwrapKey(
    session: SessionHandle,
    mechanism: Mechanism,
    unwrappingKey: ObjectHandle,
    wrapped: Buffer,
    template: Attribute[],
  ): Promise<ObjectHandle> {
    return settled<Buffer>('C_UnwrapKey', [wrapped, mechanism], (done) =>
      this.#lib.C_UnwrapKey(session, mechanism, unwrappingKey, wrapped, template, done),
    ) as Promise<ObjectHandle>;
  }
}

function checked<T>(pkcs11Function: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw named(error, pkcs11Function);
  }
}

/**
 * Runs one asynchronous call. pkcs11js hands raw pointers into its JavaScript arguments to the pool and keeps no reference
 * to them, so `borrowed` is held here until the token is done; without it the collector may free them under the call.
 */
function settled<T>(
  pkcs11Function: string,
  borrowed: readonly object[],
  start: (done: (error: Error | null, result: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const inFlight = { borrowed };
    start((error, result) => {
      inFlight.borrowed = [];
      if (error) reject(named(error, pkcs11Function));
      else resolve(result);
    });
  });
}

/** The binding's message is `CKR_NAME:number`, with or without its own error class around it. */
function named(thrown: unknown, pkcs11Function: string): Error {
  const error: Error & { code?: unknown } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const { code, message } = error;
  const returnValue = typeof code === 'number' ? code : Number(/^CKR_\w+:(\d+)/.exec(message)?.[1] ?? 0);
  return returnValue === 0 ? error : new ReturnValueError(returnValue, pkcs11Function);
}
