import { type FoundRecord, searchTrail, toldBy } from '@nest-hsm/audit';
import { isCaKeyLabel, parseCaConfig, reconcile, type SignatureEvent, TypeOrmSignedRecordStore } from '@nest-hsm/ca';
import { Option, SubCommand } from 'nest-commander';
import { printable } from '../printable.js';
import { PeriodCommand, type PeriodCommandOptions } from '../audit/trail.command.js';
import { readHsmConfig } from '../config.js';
import { CliError } from '../faults.js';
import { print } from '../hsm.command.js';
import { withDatabase } from './ca.command.js';
import { readCaFile } from './config.js';

interface ReconcileOptions extends PeriodCommandOptions {
  readonly config: string;
  readonly key?: readonly string[];
}

@SubCommand({
  name: 'reconcile',
  arguments: '[directory...]',
  argsDescription: { directory: 'where the trail is; hsm.audit.directory when absent' },
  description:
    "Finds the certificate, CRL, request or transcript of every signature that the trail tells of a CA's key. Needs no HSM. Ends with 1 when one is left, or the trail was altered",
})
export class CaReconcileCommand extends PeriodCommand {
  @Option({ flags: '-c, --config <file>', description: "the CA's YAML file", required: true })
  parseConfig(value: string): string {
    return value;
  }

  @Option({
    flags: '--key <label>',
    description: "one more key than those of the configuration's CAs; may be repeated",
  })
  parseKey(value: string, others: readonly string[] = []): readonly string[] {
    return [...others, value];
  }

  async run(directories: string[], options: ReconcileOptions): Promise<void> {
    const file = await readCaFile(options.config);
    const { authority } = parseCaConfig(file.ca);
    const trail = new Trail(
      directories.length > 0 ? directories : [await trailDirectory(options.config)],
      (label) => isCaKeyLabel(authority, label),
      options.key ?? [],
    );
    const { events, matched, matchedByWord, unmatched } = await withDatabase(file, (dataSource) =>
      reconcile(trail.signatures(options), new TypeOrmSignedRecordStore(dataSource)),
    );
    const isWhole = unmatched.length === 0 && trail.faults.length === 0;
    const lines = [
      ...unmatched.map((event) =>
        printable(`UNMATCHED  ${event.time}  ${event.place}  ${event.key}  ${event.digest ?? 'no digest'}`),
      ),
      ...trail.faults.map((fault) => printable(`TRAIL  ${fault}`)),
      `${events} signatures: ${Object.entries(matched)
        .map(([kind, count]) => `${count} ${kind}`)
        .join(', ')}, ${matchedByWord} CRLs by the word of the database, ${unmatched.length} unmatched`,
    ];
    print({ events, matched, matchedByWord, unmatched, trail: trail.faults, isWhole }, lines, options);
    if (!isWhole) process.exitCode = 1;
  }
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
async function trailDirectory(config: string): Promise<string> {
  const { audit } = await readHsmConfig(config);
  if (audit !== undefined) return audit.directory;
  throw new CliError(
    'ERR_CLI_ARGUMENT',
    `${config}: want hsm.audit.directory, or the directory of the trail, got none`,
  );
}

/** What a trail tells of the signatures of some keys. */
class Trail {
  /** Why it does not tell of all. */
  readonly faults: string[] = [];

  constructor(
    private readonly directories: readonly string[],
    private readonly isCaKey: (label: string) => boolean,
    private readonly otherKeys: readonly string[],
  ) {}

  /** Signatures that were made, and those whose outcome is not known. */
  async *signatures({ since, until }: ReconcileOptions): AsyncGenerator<SignatureEvent, void, undefined> {
    const intents = new Map<string, SignatureEvent>();
    const { directories, faults } = this;
    for await (const found of searchTrail({
      directories,
      filter: { since, until },
      onFinding: (fault) => faults.push(fault),
    })) {
      const { chain, record } = found;
      if (record.kind === 'gap')
        faults.push(`chain ${chain}: ${record.lost} lines could not be written, before ${record.time}`);
      const event = this.#eventOf(found);
      if (event === undefined) continue;
      if (record.kind === 'intent') intents.set(`${chain} ${record.seq}`, event);
      if (record.kind === 'result') {
        intents.delete(`${chain} ${record.intent}`);
        if (record.result === 'ok') yield event;
      }
      // Uses that were only counted have no digest, so nothing can be found for them.
      if (record.kind === 'folded') yield event;
    }
    yield* intents.values();
  }

  #eventOf({ chain, record }: FoundRecord): SignatureEvent | undefined {
    const { operation, key, digest, correlationId } = toldBy(record);
    const label = key?.label ?? key?.id;
    if (operation !== 'sign' || label === undefined) return undefined;
    const isCaKey = this.isCaKey(label);
    if (!isCaKey && !this.otherKeys.includes(label)) return undefined;
    return { place: `${chain} ${record.seq}`, time: record.time, key: label, isCaKey, digest, correlationId };
  }
}
