import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Fields = Readonly<Record<string, unknown>>;

const time = (seq: number): string => new Date(Date.UTC(2030, 0, 1) + seq * 1000).toISOString();

/** A chain as an agent writes it, made line by line with nothing but JSON and SHA-256. */
export class TrailChain {
  readonly id = randomBytes(16).toString('hex');
  #seq = 0;
  #prev = '0'.repeat(64);
  #segment = 0;
  #previous: string | undefined;

  constructor(
    private readonly directory: string,
    readonly member = 'hsm-a',
    readonly slot = 1,
  ) {
    this.rotate();
  }

  get name(): string {
    return `${this.member}.${this.slot}`;
  }

  get file(): string {
    return `${this.name}.${String(this.#segment).padStart(6, '0')}.jsonl`;
  }

  get path(): string {
    return join(this.directory, this.file);
  }

  /** Begins a segment. */
  rotate(fields: Fields = {}): void {
    this.#segment++;
    const { id: chain, member } = this;
    this.append({ kind: 'segment', format: 1, chain, member, previous: this.#previous, ...fields });
  }

  append(fields: Fields): number {
    const seq = ++this.#seq;
    const line = JSON.stringify({ seq, prev: this.#prev, time: time(seq), ...fields });
    appendFileSync(this.path, `${line}\n`, { mode: 0o600 });
    this.#prev = createHash('sha256').update(line).digest('hex');
    this.#previous = this.file;
    return seq;
  }

  sign(label: string, fields: Fields = {}): number {
    const key = { id: 'ab'.repeat(16), label };
    const call = { client: 'tls', operation: 'sign', key, mechanism: 'ecdsa-sha256', attempt: 1 };
    return this.append({ kind: 'result', ...call, result: 'ok', durationMicroseconds: 80, ...fields });
  }

  intent(operation: string, fields: Fields = {}): number {
    return this.append({ kind: 'intent', client: 'ca', operation, attempt: 1, ...fields });
  }

  /** Leaves what a crash would, and has the next segment seal it. */
  tear(bytes: string): void {
    const segment = this.file;
    const offset = readFileSync(this.path).length;
    appendFileSync(this.path, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.rotate({ torn: [{ segment, offset, bytes: Buffer.byteLength(bytes), sha256 }] });
  }
}

/** A directory of chains, and what an attacker does to its files. */
export class TestTrail {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-trail-'));

  chain(member?: string, slot?: number): TrailChain {
    return new TrailChain(this.directory, member, slot);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  get segments(): string[] {
    return readdirSync(this.directory)
      .filter((name) => name.endsWith('.jsonl'))
      .sort();
  }

  lines(segment: string): string[] {
    return readFileSync(this.path(segment), 'utf8').trimEnd().split('\n');
  }

  rewrite(segment: string, change: (lines: string[]) => readonly string[]): void {
    const lines = change(this.lines(segment));
    writeFileSync(this.path(segment), lines.map((line) => `${line}\n`).join(''));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
