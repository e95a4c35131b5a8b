/** How much HSMs were seen to do: measured here, read from a file, or as a vendor publishes it. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { CliError } from '../../faults.js';
import type { Measurement } from './measurement.js';
import { type OperationName, operationNames } from './operation.js';

const figuresSchema = z.looseObject({
  /** Whose figures they are, for whoever reads a plan. */
  source: z.string(),
  /** How many HSMs did this together. */
  hsms: z.int().min(1),
  measurements: z.array(z.looseObject({ operation: z.enum(operationNames), perSecond: z.number().positive() })).min(1),
});

/** What one HSM does a second, when it does nothing else. */
export interface Figures {
  readonly source: string;
  readonly perHsm: ReadonlyMap<OperationName, number>;
}

/**
 * AWS CloudHSM User Guide, "Performance": operations a second of clusters of two, three and six HSMs. Taken is the lowest share
 * of one HSM in any of the three.
 */
const published: Readonly<Record<string, readonly (readonly [OperationName, number])[]>> = {
  'aws-cloudhsm-hsm1.medium': [
    ['rsa-2048', lowestShare({ 2: 2_000, 3: 3_000, 6: 5_000 })],
    ['ecdsa-p256', lowestShare({ 2: 500, 3: 750, 6: 1_500 })],
  ],
  'aws-cloudhsm-hsm2m.medium': [
    ['rsa-2048', lowestShare({ 2: 2_000, 3: 3_000, 6: 5_000 })],
    ['ecdsa-p256', lowestShare({ 2: 3_000, 3: 4_500, 6: 7_000 })],
  ],
};
export const publishedNames: readonly string[] = Object.keys(published);

/**
 * @param name  of published figures, or a file that `token bench --json` wrote
 * @throws {CliError} ERR_CLI_CONFIG
 */
export async function readFigures(name: string): Promise<Figures> {
  if (name in published) return { source: `as AWS publishes them for ${name}`, perHsm: new Map(published[name]) };
  const parsed = figuresSchema.safeParse(await readJson(name));
  if (!parsed.success) throw new CliError('ERR_CLI_CONFIG', `${name}: ${z.prettifyError(parsed.error)}`);
  const { source, hsms, measurements } = parsed.data;
  return { source: `${source} (${name})`, perHsm: best(measurements, hsms) };
}

/** What was just measured. */
export function measuredFigures(source: string, hsms: number, measurements: readonly Measurement[]): Figures {
  return { source, perHsm: best(measurements, hsms) };
}

/** The most that was seen at any concurrency. */
function best(
  measurements: readonly { readonly operation: OperationName; readonly perSecond: number }[],
  hsms: number,
): Map<OperationName, number> {
  const most = new Map<OperationName, number>();
  for (const { operation, perSecond } of measurements) {
    most.set(operation, Math.max(most.get(operation) ?? 0, perSecond / hsms));
  }
  return most;
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    const names = publishedNames.join(', ');
    const got = (error as NodeJS.ErrnoException).code ?? 'something else';
    throw new CliError(
      'ERR_CLI_CONFIG',
      `--figures: want ${names} or a file of token bench --json, got ${name(file)}: ${got}`,
    );
  }
}

const name = (file: string): string => JSON.stringify(file);

function lowestShare(clusters: Readonly<Record<number, number>>): number {
  return Math.min(...Object.entries(clusters).map(([hsms, perSecond]) => perSecond / Number(hsms)));
}
