import { readFileSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { HsmError } from '../errors.js';
import { probeKeyLabel } from '../key/key.js';
import { isListed, matchesLabel } from '../key/label-pattern.js';
import type { AuditSettings, useOperations } from './audit-settings.js';
import { ChainWriter } from './chain-writer.js';
import { Folds } from './folds.js';
import {
  type CallFacts,
  closedFields,
  intentFields,
  openedFields,
  type OpenedFacts,
  type OutcomeFacts,
  resultFields,
} from './record-fields.js';

/** The chain of one agent, and what of that which the agent does is written to it in which way. */
export class AuditLog {
  /**
   * @param alarm  told when records begin to be lost
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE
   */
  static async open(settings: AuditSettings, alarm: (error: HsmError) => void): Promise<AuditLog> {
    await ensureDirectory(settings.directory);
    return new AuditLog(settings, await ChainWriter.open(settings, alarm));
  }

  readonly #folds: Folds;

  private constructor(
    private readonly settings: AuditSettings,
    private readonly writer: ChainWriter,
  ) {
    this.#folds = new Folds(writer, settings.foldSeconds);
  }

  /**
   * Records that the agent is there, or why not: a PIN that was refused.
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE
   */
  async opened(facts: Pick<OpenedFacts, 'client' | 'token' | 'result'>): Promise<void> {
    const { member } = this.settings;
    await this.writer.commit(openedFields({ member, pid: process.pid, version: packageVersion(), ...facts }), 0);
  }

  /** Whether each use of that key is to be on the disk before it is made. Probes go on when the disk is full. */
  isIssuerKey(label: string): boolean {
    return label !== probeKeyLabel && isListed(this.settings.issuerKeys ?? [], label);
  }

  /** @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE when uses are to be refused while records are being lost */
  requireWritable(): void {
    const { failure } = this.writer;
    if (failure !== undefined && this.settings.onFailure.use === 'refuse') throw failure;
  }

  /**
   * Records what is about to be done; when it returns, that is on the disk.
   * @returns the record's `seq`
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE: then it must not be done
   */
  intent(facts: CallFacts): Promise<number> {
    return this.writer.commit(intentFields(facts), 0);
  }

  /**
   * Records, or counts, what was done.
   * @returns where the answer has to wait for it
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE then: the answer must not be given
   */
  result(facts: CallFacts, outcome: OutcomeFacts): Promise<void> | undefined {
    if (outcome.intent === undefined && this.#isFolded(facts)) return void this.#folds.add(facts, outcome.result);
    const fields = resultFields(facts, outcome);
    if (this.settings.onFailure.use === 'refuse' && outcome.intent === undefined) return this.writer.write(fields, 1);
    this.writer.append(fields, 1);
    return undefined;
  }

  /** Writes what is pending and says that the agent ended in good order. */
  async close(): Promise<void> {
    this.#folds.close();
    await this.writer.close(closedFields);
  }

  #isFolded({ label, operation }: CallFacts): boolean {
    if (label === undefined || this.isIssuerKey(label)) return false;
    // Each member is probed for as long as it lives.
    if (label === probeKeyLabel && operation === 'sign') return true;
    return this.settings.folded.some(
      (rule) =>
        rule.operations.includes(operation as (typeof useOperations)[number]) && matchesLabel(rule.label, label),
    );
  }
}

/** One that others may write in would let them put files, or links, in the place of ours. */
async function ensureDirectory(path: string): Promise<void> {
  let got: string | undefined;
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const { uid, mode } = await stat(path);
    if (uid !== process.getuid?.()) got = `one of user ${uid}`;
    else if ((mode & 0o022) !== 0) got = `mode ${(mode & 0o777).toString(8)}`;
  } catch (cause) {
    got = (cause as NodeJS.ErrnoException).code;
  }
  if (got === undefined) return;
  const want = 'want a directory of this user that nobody else may write in';
  throw new HsmError('ERR_HSM_AUDIT_UNAVAILABLE', `audit directory ${path}: ${want}, got ${got}`);
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
