import { type Ceremony, type KeyOutcome, type PlannedKey, RecoveryToken } from '@nest-hsm/hsm';
import { Option } from 'nest-commander';
import { readHsmConfig } from '../config.js';
import { confirmPlan } from '../confirm-plan.js';
import { columns, HsmCommand, print } from '../hsm.command.js';

export interface CeremonyOptions {
  readonly recovery: string;
  readonly plan?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** A command that brings keys where they are not, with the recovery token: it says what it would do, asks, and does it. */
export abstract class CeremonyCommand extends HsmCommand {
  @Option({ flags: '-r, --recovery <file>', description: "the recovery token's own YAML file", required: true })
  parseRecovery(value: string): string {
    return value;
  }

  @Option({ flags: '--plan', description: 'only say what would be done' })
  parsePlan(): boolean {
    return true;
  }

  @Option({ flags: '-y, --yes', description: 'do it without asking' })
  parseYes(): boolean {
    return true;
  }
}

/** Has the recovery token present for as long as one piece of work takes. */
export async function withRecoveryToken<T>(file: string, work: (token: RecoveryToken) => Promise<T>): Promise<T> {
  const token = await RecoveryToken.open(await readHsmConfig(file));
  try {
    return await work(token);
  } finally {
    await token.close();
  }
}

/**
 * Ends with exit code 1 unless every key that is to be on the members is there.
 * @param heading  what the keys come from
 */
export async function hold(
  ceremony: Ceremony,
  options: CeremonyOptions,
  heading: readonly string[] = [],
): Promise<void> {
  const { plan } = ceremony;
  if (options.json !== true) print(undefined, [...heading, ...columns(planTable(plan))], options);
  const hasConflict = plan.some(({ action }) => action === 'conflict');
  const hasWork = plan.some(({ action }) => action === 'give' || action === 'record');
  if (options.plan === true) {
    if (options.json === true) print({ plan }, [], options);
    if (hasConflict) process.exitCode = 1;
    return;
  }
  if (hasWork && !hasConflict && options.yes !== true) await confirmPlan();
  const outcomes = await ceremony.carryOut();
  print({ plan, outcomes: outcomes.map(described) }, ['', ...columns(outcomeTable(outcomes))], options);
  if (outcomes.some(({ error }) => error !== undefined)) process.exitCode = 1;
}

function planTable(plan: readonly PlannedKey[]): string[][] {
  const rows = plan.map(({ label, algorithm, id, action, to, on, why = '' }) => {
    return [label, algorithm, id, actions[action], to.join(' '), on.join(' '), why];
  });
  return [['LABEL', 'ALGORITHM', 'ID', 'TO DO', 'TO', 'ON', 'WHY'], ...rows];
}

const actions = {
  give: 'give',
  record: 'record',
  none: 'nothing',
  cannot: 'cannot',
  conflict: 'CONFLICT',
} as const satisfies Record<PlannedKey['action'], string>;

/** Each member of a row was shown to hold the key. */
function outcomeTable(outcomes: readonly KeyOutcome[]): string[][] {
  const rows = outcomes.map(({ label, id, members, error }) => [label, id, members.join(' '), faultOf(error)]);
  return [['LABEL', 'ID', 'SHOWN TO BE ON', 'FAULT'], ...rows];
}

function described({ error, ...outcome }: KeyOutcome): object {
  return error === undefined ? outcome : { ...outcome, fault: faultOf(error) };
}

function faultOf(error: Error | undefined): string {
  if (error === undefined) return '';
  return 'code' in error ? `${String(error.code)}: ${error.message}` : error.message;
}
