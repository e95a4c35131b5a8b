import { CommandRunner, Option, SubCommand } from 'nest-commander';
import { CliError, reportFault } from '../../faults.js';
import { columns, print } from '../../hsm.command.js';
import { bench, type BenchDocument } from './bench.js';
import { type CapacityPlan, type Demand, parseDemand, planCapacity } from './capacity-plan.js';
import { measuredFigures, publishedNames, readFigures } from './figures.js';
import { type OperationName, operationNames, parseOperation } from './operation.js';

const usualOperations: readonly OperationName[] = ['ecdsa-p256', 'rsa-2048', 'unwrap'];
const usualConcurrency: readonly number[] = [1, 16, 64];
/** Of the fleet's queue and of what one process keeps under way. */
const maximumConcurrency = 512;
const stoppingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What a shell reports of a program that Ctrl-C ended. */
const interruptedCode = 130;

interface BenchOptions {
  readonly config?: string;
  readonly member?: string;
  readonly algorithm?: readonly OperationName[];
  readonly concurrency?: readonly number[];
  readonly seconds: number;
  readonly plan?: readonly Demand[];
  readonly figures?: string;
  readonly utilisation: number;
  readonly yes?: boolean;
  readonly json?: boolean;
}

@SubCommand({
  name: 'bench',
  description: 'How much a fleet or one member does a second, and how many HSMs a load needs',
})
export class TokenBenchCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({ flags: '-c, --config <file>', description: "an application's YAML file; its hsm section is used" })
  parseConfig(value: string): string {
    return value;
  }

  @Option({ flags: '-m, --member <name>', description: 'this member alone; the whole fleet when absent' })
  parseMember(value: string): string {
    return value;
  }

  @Option({
    flags: '-a, --algorithm <names>',
    description: `${operationNames.join(', ')}; several with commas (default: ${usualOperations.join(',')}, or those of --plan)`,
  })
  parseAlgorithm(value: string): OperationName[] {
    return value.split(',').map(parseOperation);
  }

  @Option({
    flags: '--concurrency <numbers>',
    description: `calls at once, several with commas (default: ${usualConcurrency.join(',')})`,
  })
  parseConcurrency(value: string): number[] {
    return value.split(',').map((each) => wholeNumber('--concurrency', each, maximumConcurrency));
  }

  @Option({ flags: '--seconds <number>', description: 'how long each is measured', defaultValue: 3 })
  parseSeconds(value: string): number {
    return wholeNumber('--seconds', value, 600);
  }

  @Option({
    flags: '--plan <demand...>',
    description: "how many HSMs are needed, one of them lost, for e.g. 'tls=2000/s ecdsa-p256' 'data=5000/s unwrap'",
  })
  parsePlan(value: string, previous: readonly Demand[] = []): Demand[] {
    return [...previous, parseDemand(value)];
  }

  @Option({
    flags: '--figures <name>',
    description: `plan without measuring, from a file that --json wrote or from ${publishedNames.join(', ')}`,
  })
  parseFigures(value: string): string {
    return value;
  }

  @Option({
    flags: '--utilisation <share>',
    description: 'how busy an HSM may be while one is lost, 0.1 to 0.95; calls wait long for each other above some 0.7',
    defaultValue: 0.7,
  })
  parseUtilisation(value: string): number {
    const share = Number(value);
    if (share >= 0.1 && share <= 0.95) return share;
    throw new CliError('ERR_CLI_ARGUMENT', `--utilisation: want 0.1 to 0.95, got "${value}"`);
  }

  @Option({ flags: '-y, --yes', description: 'also where applications have keys, whose capacity it takes' })
  parseYes(): boolean {
    return true;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  async run(_: string[], options: BenchOptions): Promise<void> {
    const { plan: demands, figures: name } = options;
    if (name === undefined) return this.#measure(options);
    if (demands === undefined) throw new CliError('ERR_CLI_ARGUMENT', '--figures: want --plan with it');
    const figures = await readFigures(name);
    const plan = planCapacity(demands, figures, options.utilisation);
    print({ source: figures.source, plan }, planLines(plan, figures.source, options), options);
  }

  async #measure(options: BenchOptions): Promise<void> {
    const { config, member, plan: demands, yes = false } = options;
    if (config === undefined) throw new CliError('ERR_CLI_ARGUMENT', 'want --config, or --figures and --plan');
    const operations = options.algorithm ?? [...new Set(demands?.map(({ operation }) => operation) ?? usualOperations)];
    const { concurrency = usualConcurrency, seconds } = options;
    const stopping = new AbortController();
    for (const name of stoppingSignals) process.once(name, () => stopping.abort());
    const terms = { config, member, operations, concurrency, seconds, yes, signal: stopping.signal };
    try {
      const document = await bench(terms, (text) => process.stderr.write(`${text}\n`));
      const figures = measuredFigures(document.source, document.hsms, document.measurements);
      const plan = demands && planCapacity(demands, figures, options.utilisation);
      const lines = [...table(document), ...(plan ? ['', ...planLines(plan, figures.source, options)] : [])];
      print({ ...document, plan }, lines, options);
    } catch (error) {
      if (!(error instanceof CliError) || error.code !== 'ERR_CLI_INTERRUPTED') throw error;
      reportFault(error);
      process.exitCode = interruptedCode;
    }
  }
}

function table({ hsms, measurements }: BenchDocument): string[] {
  const heads = ['OPERATION', 'AT ONCE', 'PER SECOND', 'P50 MS', 'P95 MS', 'P99 MS', 'FAILED'];
  const rows = measurements.map(({ operation, concurrency, perSecond, milliseconds, failed }) => [
    operation,
    String(concurrency),
    perSecond.toFixed(perSecond < 100 ? 1 : 0),
    ...[milliseconds.p50, milliseconds.p95, milliseconds.p99].map((each) => each.toFixed(2)),
    Object.entries(failed)
      .map(([code, count]) => `${count} ${code}`)
      .join(', '),
  ]);
  return [...columns([heads, ...rows]), '', hsms === 1 ? 'one member' : `${hsms} members together`];
}

function planLines({ demands, hsms, utilisation }: CapacityPlan, source: string, options: BenchOptions): string[] {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  const rows = demands.map(({ role, perSecond, operation, perHsm, share }) => [
    role,
    operation,
    String(perSecond),
    perHsm.toFixed(perHsm < 100 ? 1 : 0),
    share.toFixed(2),
  ]);
  return [
    ...columns([['ROLE', 'OPERATION', 'WANTED/S', 'ONE HSM/S', 'HSMS'], ...rows]),
    '',
    `${hsms} HSMs: with one lost the others are ${percent(utilisation.oneLost)} busy (at most ${percent(options.utilisation)}), ` +
      `with all there ${percent(utilisation.all)}`,
    `figures: ${source}`,
  ];
}

function wholeNumber(option: string, text: string, maximum: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value;
  throw new CliError('ERR_CLI_ARGUMENT', `${option}: want whole numbers from 1 to ${maximum}, got "${text}"`);
}
