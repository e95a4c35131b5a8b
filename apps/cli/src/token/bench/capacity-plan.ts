/** How many HSMs a load needs. */
import { CliError } from '../../faults.js';
import type { Figures } from './figures.js';
import { type OperationName, parseOperation } from './operation.js';

/** What one role will ask for. */
export interface Demand {
  readonly role: string;
  readonly perSecond: number;
  readonly operation: OperationName;
}

export interface PlannedDemand extends Demand {
  /** What one HSM does a second when it does nothing else. */
  readonly perHsm: number;
  /** How much of the time of one HSM that takes; 1.5 is one and a half. */
  readonly share: number;
}

export interface CapacityPlan {
  readonly demands: readonly PlannedDemand[];
  /** HSMs that do it all, one of them lost. */
  readonly hsms: number;
  /** How busy each HSM is while all are there, and while one is lost: 0 to 1. */
  readonly utilisation: { readonly all: number; readonly oneLost: number };
}

/**
 * @param text  `ROLE=RATE/s OPERATION`, e.g. `tls=2000/s ecdsa-p256`
 * @throws {CliError} ERR_CLI_ARGUMENT
 */
export function parseDemand(text: string): Demand {
  const [, role, rate, operation] = /^([a-z][a-z0-9-]*)=(\d+(?:\.\d+)?)\/s\s+(\S+)$/.exec(text.trim()) ?? [];
  const perSecond = Number(rate);
  if (role === undefined || !(perSecond > 0)) {
    throw new CliError(
      'ERR_CLI_ARGUMENT',
      `--plan: want ROLE=RATE/s OPERATION, as in "tls=2000/s ecdsa-p256", got "${text}"`,
    );
  }
  return { role, perSecond, operation: parseOperation(operation) };
}

/**
 * An HSM that does several things divides its time among them, so the shares of the demands add up.
 * @param target  how busy an HSM may be while one is lost; above some 0.7 calls wait for each other long
 * @throws {CliError} ERR_CLI_ARGUMENT when the figures do not say how much of something an HSM does
 */
export function planCapacity(demands: readonly Demand[], { perHsm, source }: Figures, target: number): CapacityPlan {
  const planned = demands.map((demand) => {
    const most = perHsm.get(demand.operation);
    if (most === undefined) {
      const known = [...perHsm.keys()].join(', ');
      throw new CliError('ERR_CLI_ARGUMENT', `${demand.operation}: want a figure for it ${source}, got ${known}`);
    }
    return { ...demand, perHsm: most, share: demand.perSecond / most };
  });
  const load = planned.reduce((sum, { share }) => sum + share, 0);
  const working = Math.max(1, Math.ceil(load / target));
  return {
    demands: planned,
    hsms: working + 1,
    utilisation: { all: load / (working + 1), oneLost: load / working },
  };
}
