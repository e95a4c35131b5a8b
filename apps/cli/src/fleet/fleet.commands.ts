import { setTimeout as pause } from 'node:timers/promises';
import type { MemberStatus } from '@nest-hsm/hsm';
import { Command, Option, SubCommand } from 'nest-commander';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { FleetResyncCommand } from '../recovery/resync.command.js';
import { FleetAuditCommand } from './audit.command.js';
import { FleetInitCommand } from './init.command.js';

const watchMilliseconds = 1_000;
/** Back to the upper left corner, and nothing below it. */
const clearScreen = '\u001b[H\u001b[2J';

interface StatusOptions extends HsmCommandOptions {
  readonly watch?: boolean;
}

@SubCommand({ name: 'status', description: 'Each member: whether it logs in and serves. Ends with 1 unless all do' })
export class FleetStatusCommand extends HsmCommand {
  @Option({ flags: '-w, --watch', description: 'again every second, until Ctrl-C' })
  parseWatch(): boolean {
    return true;
  }

  async run(_: string[], options: StatusOptions): Promise<void> {
    await this.withAnyHsm(options, async (hsm) => {
      show(hsm.members, options);
      // Until nobody reads any more (`| head`).
      while (options.watch === true && process.stdout.errored === null) {
        await pause(watchMilliseconds);
        // Its outcome shows in the states.
        await hsm.probe().catch(() => undefined);
        if (process.stdout.isTTY) process.stdout.write(clearScreen);
        show(hsm.members, options);
      }
      if (hsm.members.some(({ state }) => state !== 'serving')) process.exitCode = 1;
    });
  }
}

@SubCommand({
  name: 'enrol',
  description: "Each member's key for taking in others: made where there is none. Prints the fingerprints to pin",
})
export class FleetEnrolCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const enrolments = await this.withHsm(options, (hsm) => hsm.enrolMembers());
    const rows = enrolments.map(({ member, fingerprint }) => [member, fingerprint]);
    print(enrolments, columns([['MEMBER', 'FINGERPRINT'], ...rows]), options);
  }
}

@Command({
  name: 'fleet',
  description: 'The members that hold the keys together',
  subCommands: [FleetInitCommand, FleetStatusCommand, FleetAuditCommand, FleetEnrolCommand, FleetResyncCommand],
})
export class FleetCommand extends NounCommand {}

function show(members: readonly MemberStatus[], options: StatusOptions): void {
  const rows = members.map(({ name, state, token, inFlight, medianMilliseconds, trouble }) => [
    name,
    state,
    token?.label ?? '',
    token?.serial ?? '',
    String(inFlight),
    medianMilliseconds?.toFixed(1) ?? '',
    trouble === undefined ? '' : `${trouble.code}: ${trouble.message}`,
  ]);
  const heads = ['MEMBER', 'STATE', 'TOKEN', 'SERIAL', 'CALLS', 'MEDIAN MS', 'TROUBLE'];
  const described = members.map(({ trouble, ...rest }) => {
    return { ...rest, trouble: trouble && { code: trouble.code, message: trouble.message } };
  });
  print(described, columns([heads, ...rows]), options);
}
