/**
 * Records as text, from `,"kind":…` to the closing brace; the chain puts `seq`, `prev` and `time` before it. Built by hand,
 * since JSON.stringify of an object costs a busy agent several times as much. `record.ts` says what the fields mean.
 */
import { auditFormatVersion, type UnreadableBytes } from './record.js';

/** A token may hold longer labels than anybody gives. */
const maximumLabelLength = 256;

/** Who does what with which key. */
export interface UseFacts {
  readonly client: string;
  /** One of our names. */
  readonly operation: string;
  /** Hexadecimal. */
  readonly keyId?: string;
  readonly label?: string;
  /** One of our names. */
  readonly mechanism?: string;
}

export interface CallFacts extends UseFacts {
  readonly digest?: Buffer;
  /** Hexadecimal. */
  readonly recipients?: readonly string[];
  /** Empty when there is none. */
  readonly correlationId: string;
  readonly attempt: number;
}

export interface OutcomeFacts {
  /** `ok` or an error code. */
  readonly result: string;
  readonly returnValue?: string;
  readonly intent?: number;
  readonly durationMicroseconds: number;
}

export interface OpenedFacts {
  readonly member: string;
  readonly pid: number;
  readonly client?: string;
  readonly version: string;
  readonly token: { readonly label?: string; readonly serial?: string };
  readonly result: string;
}

export function segmentFields(facts: {
  readonly chain: string;
  readonly member: string;
  readonly previous?: string;
  readonly torn?: readonly UnreadableBytes[];
}): string {
  return record('segment', { format: auditFormatVersion, ...facts });
}

export function openedFields(facts: OpenedFacts): string {
  return record('opened', facts);
}

export function intentFields(facts: CallFacts): string {
  return `,"kind":"intent"${call(facts)}}`;
}

export function resultFields(
  facts: CallFacts,
  { result, returnValue, intent, durationMicroseconds }: OutcomeFacts,
): string {
  let text = `,"kind":"result"${call(facts)},"result":"${result}"`;
  if (returnValue !== undefined) text += `,"returnValue":${JSON.stringify(returnValue)}`;
  if (intent !== undefined) text += `,"intent":${intent}`;
  return `${text},"durationMicroseconds":${durationMicroseconds}}`;
}

export function foldedOpenFields(facts: UseFacts): string {
  return `,"kind":"folded-open"${use(facts)}}`;
}

export function foldedFields(
  facts: UseFacts,
  interval: { readonly open?: number; readonly first: string; readonly last: string; readonly counts: object },
): string {
  return `,"kind":"folded"${use(facts)},${JSON.stringify(interval).slice(1)}`;
}

export function gapFields(facts: {
  readonly lost: number;
  readonly operations: number;
  readonly since: string;
}): string {
  return record('gap', facts);
}

export const closedFields = ',"kind":"closed"}';

let formatted = { time: -1, text: '' };
/** RFC 3339 in UTC with milliseconds, made once for all records of a millisecond. */
export function rfc3339(time: number): string {
  if (formatted.time !== time) formatted = { time, text: new Date(time).toISOString() };
  return formatted.text;
}

function record(kind: string, facts: object): string {
  return `,"kind":"${kind}",${JSON.stringify(facts).slice(1)}`;
}

function use({ client, operation, keyId, label, mechanism }: UseFacts): string {
  let text = `,"client":${JSON.stringify(client)},"operation":"${operation}"`;
  if (keyId !== undefined || label !== undefined) {
    text += `,"key":{"id":"${keyId ?? ''}"`;
    text += label === undefined ? '}' : `,"label":${JSON.stringify(label.slice(0, maximumLabelLength))}}`;
  }
  return mechanism === undefined ? text : `${text},"mechanism":"${mechanism}"`;
}

function call(facts: CallFacts): string {
  const { digest, recipients, correlationId, attempt } = facts;
  let text = use(facts);
  if (digest !== undefined) text += `,"digest":"${digest.toString('hex')}"`;
  if (recipients !== undefined) text += `,"recipients":${JSON.stringify(recipients)}`;
  if (correlationId !== '') text += `,"correlationId":${JSON.stringify(correlationId)}`;
  return `${text},"attempt":${attempt}`;
}
