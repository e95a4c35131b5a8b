import { setTimeout as pause } from 'node:timers/promises';
import { Hsm } from '@nest-hsm/hsm';
import { CommandRunner, Option } from 'nest-commander';
import { readHsmConfig } from './config.js';
import { printable, textOf } from './printable.js';

const pollMilliseconds = 10;

export interface HsmCommandOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** A command on one token: `--config FILE` says which, `--json` makes its answer one JSON document. */
export abstract class HsmCommand extends CommandRunner {
  /** A word too many is a mistake, not something to pass over. */
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({
    flags: '-c, --config <file>',
    description: "an application's YAML file; its hsm section is used",
    required: true,
  })
  parseConfig(value: string): string {
    return value;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  /** Opens the HSM for one piece of work and closes it whatever happens. */
  protected async withHsm<T>(options: HsmCommandOptions, work: (hsm: Hsm) => Promise<T>): Promise<T> {
    return this.withAnyHsm(options, async (hsm) => {
      // Whoever typed the command would rather know than wait for an HSM to come back.
      const trouble = hsm.members.find((member) => member.trouble !== undefined)?.trouble;
      if (trouble !== undefined && hsm.members.every(({ state }) => state !== 'serving')) throw trouble;
      return work(hsm);
    });
  }

  /** The same for work that is about members whether they can be reached or not. */
  protected async withAnyHsm<T>(options: HsmCommandOptions, work: (hsm: Hsm) => Promise<T>): Promise<T> {
    const hsm = await Hsm.open(await readHsmConfig(options.config));
    try {
      await attempted(hsm);
      return await work(hsm);
    } finally {
      await hsm.close();
    }
  }
}

/** Until each member has logged in, or said why not: a command is about all of them, not about the quickest. */
async function attempted(hsm: Hsm): Promise<void> {
  while (hsm.members.some(({ state, trouble }) => state === 'starting' && trouble === undefined)) {
    await pause(pollMilliseconds);
  }
}

/** Prints rows as columns, or the values behind them as JSON. */
export function print(value: unknown, lines: readonly string[], { json }: Pick<HsmCommandOptions, 'json'>): void {
  process.stdout.write(json ? `${JSON.stringify(value, undefined, 2)}\n` : textOf(lines));
}

/** Left-aligned columns, two spaces apart. */
export function columns(cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(printable));
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
}
