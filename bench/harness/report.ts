import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import type { Outcome, Result } from './contest.js';

/**
 * Prints the table and writes the results where scripts/bench.mjs said (var/bench/NAME.json).
 * @param remarks  what its reader has to know beside it, e.g. which peers were absent
 */
export function report(outcomes: readonly Outcome[], remarks: readonly string[] = []): void {
  const path = process.env.NEST_HSM_BENCH_RESULT;
  if (path === undefined) throw new Error('bench: want NEST_HSM_BENCH_RESULT, got none (run npm run bench -- NAME)');
  const results = outcomes.map(({ case: name, value, unit, cpu_us, peer, ratio, peer_name }): Result => ({
    case: name,
    value: rounded(value),
    unit,
    cpu_us: cpu_us === null ? null : rounded(cpu_us),
    peer: peer === null ? null : rounded(peer),
    ratio: ratio === null || !Number.isFinite(ratio) ? null : Math.round(ratio * 1000) / 1000,
    peer_name,
  }));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);

  const heads = ['case', 'value', 'unit', 'CPU µs', 'peer', "peer's", 'CPU µs', 'ratio', 'target'];
  const rows = outcomes.map((each) => [
    each.case,
    text(each.value),
    each.unit,
    text(each.cpu_us),
    each.peer_name ?? '',
    text(each.peer),
    text(each.peerCpu),
    ratioText(each.ratio),
    each.target ?? '',
  ]);
  const machine = `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0].model}; ${path}`;
  process.stdout.write(`\n${[table([heads, ...rows]), '', ...remarks, machine].join('\n')}\n`);
}

function rounded(value: number): number {
  return Number(value.toPrecision(5));
}

/** NaN is a measurement that had nothing to measure, e.g. the time to leave out a member that never was. */
function text(value: number | null): string {
  if (value === null) return '';
  return Number.isNaN(value) ? '–' : String(Number(value.toPrecision(4)));
}

/** None of what is divided by nothing, or by what never was. */
function ratioText(ratio: number | null): string {
  return ratio === null || !Number.isFinite(ratio) ? '' : `${ratio.toFixed(2)}×`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
