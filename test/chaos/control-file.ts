import { closeSync, openSync, readSync, writeSync } from 'node:fs';

/** The functions that can be steered; shim.c wraps each of them and refuses a control file that names another. */
export const steerableFunctions = [
  'C_Initialize',
  'C_Finalize',
  'C_GetInfo',
  'C_GetSlotList',
  'C_GetSlotInfo',
  'C_GetTokenInfo',
  'C_GetMechanismList',
  'C_GetMechanismInfo',
  'C_InitToken',
  'C_InitPIN',
  'C_SetPIN',
  'C_OpenSession',
  'C_CloseSession',
  'C_CloseAllSessions',
  'C_GetSessionInfo',
  'C_Login',
  'C_Logout',
  'C_CreateObject',
  'C_DestroyObject',
  'C_GetAttributeValue',
  'C_SetAttributeValue',
  'C_FindObjectsInit',
  'C_FindObjects',
  'C_FindObjectsFinal',
  'C_EncryptInit',
  'C_Encrypt',
  'C_DecryptInit',
  'C_Decrypt',
  'C_DigestInit',
  'C_Digest',
  'C_SignInit',
  'C_Sign',
  'C_SignUpdate',
  'C_SignFinal',
  'C_VerifyInit',
  'C_Verify',
  'C_GenerateKey',
  'C_GenerateKeyPair',
  'C_WrapKey',
  'C_UnwrapKey',
  'C_SeedRandom',
  'C_GenerateRandom',
] as const;
export type SteerableFunction = (typeof steerableFunctions)[number];

/** Byte offsets of control.h, in the machine's byte order (little-endian on every platform we support). */
const magic = 0x4e48_5302;
const headerBytes = 64;
const recordBytes = 128;
const nameBytes = 32;
const headerFields = { magic: 0, recordCount: 4, frozen: 8, off: 12, epoch: 16 } as const;
const recordFields = {
  calls: 32,
  delayNanoseconds: 40,
  throttlePerSecond: 48,
  throttleNext: 56,
  action: 64,
  argument: 72,
  after: 80,
  times: 88,
} as const;
type RecordField = keyof typeof recordFields;

export const actions = { none: 0n, fail: 1n, freeze: 2n, corrupt: 3n, crash: 4n } as const;
export const forever = 0xffff_ffff_ffff_ffffn;

/**
 * The file that the shim maps in every process that loaded it. Plain writes are seen at once by all of them (one page
 * cache), and what the shim counts is read back the same way, so steering needs no round trip and outlives a killed agent.
 */
export class ControlFile {
  readonly #file: number;

  constructor(readonly path: string) {
    const content = Buffer.alloc(headerBytes + steerableFunctions.length * recordBytes);
    content.writeUInt32LE(magic, headerFields.magic);
    content.writeUInt32LE(steerableFunctions.length, headerFields.recordCount);
    steerableFunctions.forEach((name, index) => content.write(name, headerBytes + index * recordBytes, nameBytes));
    this.#file = openSync(path, 'wx+', 0o600);
    writeSync(this.#file, content);
  }

  set frozen(frozen: boolean) {
    this.#write(headerFields.frozen, word(frozen ? 1 : 0));
  }

  set off(off: boolean) {
    this.#write(headerFields.off, word(off ? 1 : 0));
  }

  /** Ends every session: the module must be finalised and initialised before it answers again. */
  raiseEpoch(): void {
    this.#write(headerFields.epoch, longWord(this.#read(headerFields.epoch) + 1n));
  }

  get(name: SteerableFunction, field: RecordField): bigint {
    return this.#read(offsetOf(name, field));
  }

  set(name: SteerableFunction, field: RecordField, value: bigint): void {
    this.#write(offsetOf(name, field), longWord(value));
  }

  close(): void {
    closeSync(this.#file);
  }

  #read(offset: number): bigint {
    const value = Buffer.alloc(8);
    readSync(this.#file, value, 0, 8, offset);
    return value.readBigUInt64LE();
  }

  #write(offset: number, value: Buffer): void {
    writeSync(this.#file, value, 0, value.length, offset);
  }
}

function offsetOf(name: SteerableFunction, field: RecordField): number {
  return headerBytes + steerableFunctions.indexOf(name) * recordBytes + recordFields[field];
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function longWord(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
