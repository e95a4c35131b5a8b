import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmConfig } from '@nest-hsm/hsm';
import { readHsmConfig } from '../../config.js';
import { CliError } from '../../faults.js';
import { benchLabel, destroyLeftOver, isOfApplication } from './bench-keys.js';
import { type Measurement, measure } from './measurement.js';
import { operation, type OperationName } from './operation.js';

/** What a small token has room for; each leaves a receipt of its destruction. */
const maximumKeys = 32;
const pollMilliseconds = 10;

export interface BenchTerms {
  readonly config: string;
  readonly member?: string;
  readonly operations: readonly OperationName[];
  readonly concurrency: readonly number[];
  readonly seconds: number;
  /** Also where applications have keys. */
  readonly yes: boolean;
  readonly signal: AbortSignal;
}

/** What `--json` prints, and what `--figures` reads. */
export interface BenchDocument {
  readonly source: string;
  readonly measuredAt: string;
  /** How many members did this together. */
  readonly hsms: number;
  readonly members: readonly { readonly name: string; readonly manufacturer?: string; readonly model?: string }[];
  readonly measurements: readonly Measurement[];
}

/**
 * Measures operations through `Hsm`, as applications use it, with keys of its own that are destroyed whatever happens.
 * @param told  what it is about to do, and what it found
 * @throws {CliError} ERR_CLI_NOT_CONFIRMED where applications have keys and nobody said yes · ERR_CLI_INTERRUPTED when it was
 * aborted and its keys are destroyed; what kept one from being destroyed goes before that
 */
export async function bench(terms: BenchTerms, told: (text: string) => void): Promise<BenchDocument> {
  const config = await chosenConfig(terms);
  const hsm = await Hsm.open(config);
  try {
    await allServing(hsm);
    if (!terms.yes) await expectUnused(hsm);
    const leftOver = await destroyLeftOver(hsm);
    if (leftOver > 0) told(`destroyed ${leftOver} keys that a measurement left which was killed`);
    try {
      return { ...describe(hsm), measurements: await measureAll(hsm, terms, told) };
    } catch (error) {
      if (!terms.signal.aborted) throw error;
      throw new CliError('ERR_CLI_INTERRUPTED', 'stopped; the keys of the measurement are destroyed');
    } finally {
      await destroyLeftOver(hsm);
    }
  } finally {
    await hsm.close();
  }
}

async function measureAll(hsm: Hsm, terms: BenchTerms, told: (text: string) => void): Promise<Measurement[]> {
  const { seconds, signal } = terms;
  const measurements: Measurement[] = [];
  for (const name of terms.operations) {
    const { keysPerCall, prepare } = operation(name);
    const { call } = await prepare(hsm, benchLabel(name));
    const maximumCalls = keysPerCall === 0 ? Infinity : maximumKeys;
    for (const concurrency of terms.concurrency) {
      signal.throwIfAborted();
      told(`${name}, ${concurrency} at once`);
      measurements.push(await measure(call, { operation: name, concurrency, seconds, maximumCalls, signal }));
      if (keysPerCall > 0) await destroyLeftOver(hsm);
    }
  }
  return measurements;
}

/** The fleet, or its one member as a fleet of its own. */
async function chosenConfig({ config: file, member, operations }: BenchTerms): Promise<HsmConfig> {
  const config = await readHsmConfig(file);
  if (member === undefined) {
    const making = operations.filter((name) => operation(name).keysPerCall > 0);
    if (config.replication?.mode === 'wrapped' && making.length > 0) {
      const why = 'since each key would leave its record in the keyring';
      throw new CliError('ERR_CLI_ARGUMENT', `${making.join(', ')}: want --member with wrapped replication, ${why}`);
    }
    return config;
  }
  const named = config.members.filter((each) => nameOf(each) === member);
  if (named.length === 1) return { ...config, members: named, quorum: 1, replication: { mode: 'vendor' } };
  throw new CliError(
    'ERR_CLI_ARGUMENT',
    `--member: want one of ${config.members.map(nameOf).join(', ')}, got ${member}`,
  );
}

function nameOf(member: HsmConfig['members'][number]): string {
  if (member.name !== undefined) return member.name;
  if (!('token' in member)) return '';
  return 'label' in member.token ? member.token.label : member.token.serial;
}

/** A figure of a fleet is one of all its members. */
async function allServing(hsm: Hsm): Promise<void> {
  const isUndecided = (): boolean =>
    hsm.members.some(({ state, trouble }) => state === 'starting' && trouble === undefined);
  while (isUndecided()) await pause(pollMilliseconds);
  const away = hsm.members.find(({ state }) => state !== 'serving');
  if (away !== undefined) {
    throw away.trouble ?? new CliError('ERR_CLI_ARGUMENT', `${away.name}: want it to serve, got ${away.state}`);
  }
}

async function expectUnused(hsm: Hsm): Promise<void> {
  const keys = (await hsm.listKeys()).filter(isOfApplication);
  if (keys.length === 0) return;
  const message = `want tokens without keys of applications, got ${keys.length}: --yes measures all the same, which takes capacity from whoever uses them`;
  throw new CliError('ERR_CLI_NOT_CONFIRMED', message);
}

function describe(hsm: Hsm): Omit<BenchDocument, 'measurements'> {
  const members = hsm.members.map(({ name, token }) => {
    return { name, manufacturer: token?.manufacturer, model: token?.model };
  });
  const measuredAt = new Date().toISOString();
  const source = `measured on ${members.map(({ name }) => name).join(', ')} at ${measuredAt}`;
  return { source, measuredAt, hsms: members.length, members };
}
