import { HsmError, type HsmErrorCode } from '../errors.js';
import { fits, type Shape } from '../shape.js';
import type { FrameReader, FrameWriter } from './frame.js';

/** How a value becomes bytes, and what is accepted of bytes. */
export interface Codec<Sent, Read = Sent> {
  write(writer: FrameWriter, value: Sent): void;
  read(reader: FrameReader): Read;
}

/** @param fault  ERR_HSM_ARGUMENT_INVALID where what does not fit comes from a caller's arguments: answered, not fatal */
export function jsonCodec<T>(shape: Shape<T>, fault: HsmErrorCode = 'ERR_HSM_PROTOCOL'): Codec<T> {
  return {
    write: (writer, value) => void writer.json(value),
    read: (reader) => {
      const value = reader.json();
      if (fits(shape, value)) return value;
      throw new HsmError(fault, `message: ${shape(value)}`);
    },
  };
}

export const nothing: Codec<Record<never, never>> = { write: () => undefined, read: () => ({}) };

/** One of a list of names, as its index. */
export function indexOf<T extends string>(values: readonly T[], value: T): number {
  const index = values.indexOf(value);
  if (index >= 0) return index;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `want one of ${values.join(', ')}, got ${String(value).slice(0, 40)}`);
}

export function valueAt<T>(values: readonly T[], index: number): T {
  if (index < values.length) return values[index];
  throw new HsmError('ERR_HSM_PROTOCOL', `message: no value numbered ${index}`);
}

export const booleans = [false, true] as const;

/** Absent bytes cross the wire as none. */
export const noBytes = new Uint8Array(0);
export function someBytes(bytes: Buffer): Buffer | undefined {
  return bytes.length === 0 ? undefined : bytes;
}

/** u8 length ‖ items. */
export function countedList<T>(reader: FrameReader, item: () => T): T[] {
  return Array.from({ length: reader.u8() }, item);
}
