import { setImmediate as nextTurn } from 'node:timers/promises';
import { tags } from '../der/der-writer.js';

/** What is wrong with entries, each kind once. */
export type EntryFault = 'form' | 'order' | 'time' | 'reason' | 'remove' | 'invalidity';

export interface EntriesFound {
  readonly count: number;
  readonly faults: ReadonlySet<EntryFault>;
  /** The latest revocationDate as YYYYMMDDHHMMSS. */
  readonly newest: string;
}

const entriesPerTurn = 4096;
const reasonId = Buffer.from('0603551d15', 'hex');
const invalidityId = Buffer.from('0603551d18', 'hex');

/**
 * Reads the content of revokedCertificates again, independent of what wrote it: half a million entries in a second, so in one
 * pass that decodes no tree. The event loop has its turn in between.
 */
export async function inspectEntries(content: Buffer): Promise<EntriesFound> {
  const faults = new Set<EntryFault>();
  let [count, newest] = [0, ''];
  let previous: Buffer = Buffer.alloc(0);
  for (let at = 0; at < content.length; count += 1) {
    const end = shortEnd(content, at, tags.sequence);
    if (end === undefined) return { count, faults: faults.add('form'), newest };
    const serialEnd = shortEnd(content, at + 2, tags.integer) ?? end;
    const serial = content.subarray(at + 4, serialEnd);
    if (!isSerial(serial) || serialEnd >= end) return { count, faults: faults.add('form'), newest };
    if (!isAfter(serial, previous)) faults.add('order');
    previous = serial;

    const timeEnd = shortEnd(content, serialEnd, content[serialEnd]) ?? end;
    const time = timeOf(content, serialEnd, timeEnd);
    if (time === undefined || timeEnd > end) faults.add('time');
    else if (time > newest) newest = time;
    if (timeEnd < end) inspectExtensions(content, timeEnd, end, faults);
    at = end;
    if (count % entriesPerTurn === 0) await nextTurn();
  }
  return { count, faults, newest };
}

/** Where a value of one length octet ends; undefined when it is another one. */
function shortEnd(content: Buffer, at: number, tag: number): number | undefined {
  if (content[at] !== tag || content[at + 1] >= 0x80 || at + 2 > content.length) return undefined;
  const end = at + 2 + content[at + 1];
  return end <= content.length ? end : undefined;
}

function isSerial(serial: Buffer): boolean {
  if (serial.length < 1 || serial.length > 20 || serial[0] >= 0x80) return false;
  return serial[0] !== 0 || (serial.length > 1 && serial[1] >= 0x80);
}

function isAfter(serial: Buffer, previous: Buffer): boolean {
  const [left, right] = [significant(serial), significant(previous)];
  return left.length === right.length ? left.compare(right) > 0 : left.length > right.length;
}

function significant(serial: Buffer): Buffer {
  return serial[0] === 0 ? serial.subarray(1) : serial;
}

function timeOf(content: Buffer, at: number, end: number): string | undefined {
  const text = content.toString('latin1', at + 2, end);
  if (content[at] === tags.utcTime && /^[0-4]\d{11}Z$/.test(text)) return `20${text.slice(0, 12)}`;
  if (content[at] === tags.generalizedTime && /^20[5-9]\d{11}Z$/.test(text)) return text.slice(0, 14);
  return undefined;
}

function inspectExtensions(content: Buffer, start: number, end: number, faults: Set<EntryFault>): void {
  const listEnd = shortEnd(content, start, tags.sequence);
  if (listEnd !== end || listEnd === start + 2) return void faults.add('form');
  for (let at = start + 2; at < end;) {
    const extensionEnd = shortEnd(content, at, tags.sequence);
    if (extensionEnd === undefined || extensionEnd > end) return void faults.add('form');
    const id = content.subarray(at + 2, at + 7);
    if (id.equals(reasonId) && extensionEnd === at + 12) inspectReason(content.subarray(at + 7, extensionEnd), faults);
    else if (id.equals(invalidityId)) inspectInvalidity(content.subarray(at + 7, extensionEnd), faults);
    else faults.add('form');
    at = extensionEnd;
  }
}

/** OCTET STRING { ENUMERATED }, not critical. */
function inspectReason(value: Buffer, faults: Set<EntryFault>): void {
  const [octetString, length, enumerated, one, reason] = value;
  if (octetString !== tags.octetString || length !== 3 || enumerated !== tags.enumerated || one !== 1)
    faults.add('form');
  if (reason === 8) faults.add('remove');
  else if (reason === 0 || reason === 7 || reason > 10) faults.add('reason');
}

/** OCTET STRING { GeneralizedTime }, not critical. */
function inspectInvalidity(value: Buffer, faults: Set<EntryFault>): void {
  const isForm =
    value[0] === tags.octetString && value[1] === 17 && value[2] === tags.generalizedTime && value[3] === 15;
  if (!isForm || !/^\d{14}Z$/.test(value.toString('latin1', 4))) faults.add('invalidity');
}
