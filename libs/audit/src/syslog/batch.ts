import { hostname as nameOfHost } from 'node:os';
import type { AuditRecord } from '@nest-hsm/hsm';
import { checkpointHash, maximumCheckpointBytes, parseCheckpoint } from '../checkpoint/checkpoint.js';
import { type Chain, readSettledChains, syncSegment } from '../trail/chain.js';
import { resumeChain } from '../trail/chain-walk.js';
import { readLines } from '../trail/lines.js';
import { formatMessage, type Severity } from './message.js';
import type { Positions } from './positions.js';

/** Of one connection: so many are sent again when it breaks. */
const maximumRecords = 10_000;
/** A trail in which more is wrong has been told of. */
const maximumAlarms = 100;

export interface BatchSettings {
  /** Of the trail, in every message. */
  readonly trail: string;
  readonly directories: readonly string[];
  /** Forwarded too, when there is one. */
  readonly checkpointFile?: string;
  /** RFC 5424 §6.2.1. */
  readonly facility: number;
  /** Of the structured data's name (RFC 5424 §7.2.2). */
  readonly enterpriseNumber: number;
}

/** What one connection carries, and how far it goes. */
export class Batch {
  /** What is wrong with the trail, as far as the collector has not been told. */
  readonly alarms = new Set<string>();
  /** What could not be read. It may only be on its way to another directory, or pass: it is an alarm when the next batch finds it so. */
  readonly unread = new Set<string>();
  count = 0;
  #chains: Positions['chains'];
  #checkpoint: Positions['checkpoint'];
  readonly #hostname = nameOfHost();

  constructor(
    private readonly settings: BatchSettings,
    positions: Positions,
    private readonly known: { readonly alarms: ReadonlySet<string>; readonly unread: ReadonlySet<string> },
  ) {
    this.#chains = { ...positions.chains };
    this.#checkpoint = positions.checkpoint;
  }

  /** After everything that was given out. */
  get positions(): Positions {
    return { version: 1, chains: this.#chains, checkpoint: this.#checkpoint };
  }

  async *messages(): AsyncGenerator<Buffer, void, undefined> {
    // Checkpoints first: what anchors the trail never waits for a backlog of records.
    yield* this.#checkpoints();
    const chains = await readSettledChains(this.settings.directories);
    const gone = Object.keys(this.#chains).filter((name) => chains.every((chain) => chain.name !== name));
    for (const name of gone) yield* this.#alarm(name, `chain ${name}: want it to be there, got no segment`);
    for (const chain of chains) yield* this.#records(chain, Math.ceil(maximumRecords / chains.length));
  }

  async *#records(chain: Chain, limit: number): AsyncGenerator<Buffer, void, undefined> {
    let sent = 0;
    let synced: string | undefined;
    for await (const step of resumeChain(chain, this.#chains[chain.name])) {
      if (step.type === 'finding') {
        const { kind, segment, offset, message } = step.finding;
        const text = `chain ${chain.name}, ${segment}, byte ${offset}: ${message}`;
        if (kind === 'inaccessible') this.unread.add(text);
        if (kind !== 'inaccessible' || this.known.unread.has(text)) yield* this.#alarm(chain.name, text);
        // What could not be read now is sent when it can be, and what follows it after it.
        if (kind === 'inaccessible') return;
      }
      if (step.type !== 'record') continue;
      const { record, line, place } = step;
      // Or a power failure could leave the collector with records that the trail has not, and its end before our position.
      if (place.segment !== synced) {
        synced = place.segment;
        for (const segment of chain.segments.filter(({ name }) => name === synced)) await syncSegment(segment);
      }
      const data = { chain: chain.name, segment: place.segment, seq: String(place.seq) };
      yield this.#message(severityOf(record), record.time, record.kind, data, line);
      this.#chains[chain.name] = place;
      if (++sent === limit) return;
    }
  }

  async *#checkpoints(): AsyncGenerator<Buffer, void, undefined> {
    const { checkpointFile } = this.settings;
    if (checkpointFile === undefined) return;
    const known = this.#checkpoint;
    try {
      if (known !== undefined && !(await isCheckpointAt(checkpointFile, known))) {
        const want = 'want the checkpoint that was there, got another line or none: all that are there are sent';
        yield* this.#alarm('', `${checkpointFile}, byte ${known.offset}: ${want}`);
        this.#checkpoint = undefined;
      }
      yield* this.#checkpointsAfter(checkpointFile, this.#checkpoint);
    } catch (cause) {
      // Until the first one there is no file.
      const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      if (!isMissing || known !== undefined)
        yield* this.#alarm('', `${checkpointFile}: want it to be readable, got ${String(cause)}`);
    }
  }

  async *#checkpointsAfter(file: string, known: Positions['checkpoint']): AsyncGenerator<Buffer, void, undefined> {
    const lines = readLines(file, { start: known?.offset, maximumBytes: maximumCheckpointBytes });
    for await (const { line, offset, isWhole } of lines) {
      const next = isWhole ? parseCheckpoint(line.toString('latin1')) : undefined;
      // The last line may be being written.
      if (next === undefined && !isWhole) return;
      if (next === undefined) {
        yield* this.#alarm('', `${file}, byte ${offset}: want a checkpoint, got another line`);
        return;
      }
      if (offset === known?.offset) continue;
      const data = { checkpoint: String(next.checkpoint.number) };
      yield this.#message('informational', next.checkpoint.time, 'checkpoint', data, line);
      this.#checkpoint = { offset, hash: checkpointHash(next) };
    }
  }

  *#alarm(chain: string, message: string): Generator<Buffer> {
    if (this.known.alarms.has(message) || this.alarms.size === maximumAlarms) return;
    this.alarms.add(message);
    yield this.#message(
      'alert',
      new Date().toISOString(),
      'alarm',
      chain === '' ? {} : { chain },
      Buffer.from(message),
    );
  }

  #message(
    severity: Severity,
    time: string,
    messageId: string,
    data: Readonly<Record<string, string>>,
    text: Uint8Array,
  ): Buffer {
    this.count++;
    const { facility, enterpriseNumber, trail } = this.settings;
    const structuredData = { id: `nest-hsm@${enterpriseNumber}`, parameters: { trail, ...data } };
    return formatMessage({ facility, severity, time, hostname: this.#hostname, messageId, structuredData, text });
  }
}

async function isCheckpointAt(path: string, { offset, hash }: NonNullable<Positions['checkpoint']>): Promise<boolean> {
  for await (const { line, isWhole } of readLines(path, { start: offset, maximumBytes: maximumCheckpointBytes })) {
    const checkpoint = isWhole ? parseCheckpoint(line.toString('latin1')) : undefined;
    return checkpoint !== undefined && checkpointHash(checkpoint) === hash;
  }
  return false;
}

/** What somebody should look at stands out. */
function severityOf(record: AuditRecord): Severity {
  switch (record.kind) {
    case 'gap':
      return 'error';
    case 'segment':
      return record.torn === undefined ? 'informational' : 'warning';
    case 'opened':
    case 'result':
      return record.result === 'ok' ? 'informational' : 'warning';
    default:
      return 'informational';
  }
}
