import { once } from 'node:events';
import {
  type AuditObserver,
  Checkpointer,
  checkpointSettings,
  formatCheckpoint,
  Forwarder,
  forwarderSettings,
  keepAudit,
} from '@nest-hsm/audit';
import { Hsm } from '@nest-hsm/hsm';
import { CommandRunner, Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { type AuditFile, readAuditFile } from './config.js';
import { printable } from '../printable.js';

interface AuditCommandOptions {
  readonly config: string;
}

interface CheckpointOptions extends AuditCommandOptions {
  readonly first?: boolean;
}

/** A command that works as an audit file says. */
abstract class AuditFileCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({ flags: '-c, --config <file>', description: "the audit's own YAML file (docs/AUDITING.md)", required: true })
  parseConfig(value: string): string {
    return value;
  }
}

@SubCommand({
  name: 'checkpoint',
  description: 'Signs how far each chain of the trail goes, once, and prints the checkpoint',
})
export class AuditCheckpointCommand extends AuditFileCommand {
  @Option({ flags: '--first', description: 'the first of its trail: there is none before it' })
  parseFirst(): boolean {
    return true;
  }

  async run(_: string[], { config, first }: CheckpointOptions): Promise<void> {
    const file = await readAuditFile(config);
    if (file.audit.checkpoints === undefined)
      throw new CliError('ERR_CLI_CONFIG', `${config}: want audit.checkpoints, got none`);
    await withHsm(file, async (hsm) => {
      const checkpointer = checkpointerOf(hsm, file);
      if (checkpointer) process.stdout.write(`${formatCheckpoint(await checkpointer.checkpoint({ first }))}\n`);
    });
  }
}

@SubCommand({
  name: 'run',
  description: 'Makes checkpoints and forwards the trail by syslog, as the file says, until SIGTERM',
})
export class AuditRunCommand extends AuditFileCommand {
  async run(_: string[], { config }: AuditCommandOptions): Promise<void> {
    const file = await readAuditFile(config);
    const { checkpoints, syslog } = file.audit;
    if (checkpoints === undefined && syslog === undefined) {
      throw new CliError('ERR_CLI_CONFIG', `${config}: want audit.checkpoints, audit.syslog or both, got neither`);
    }
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT']) void once(process, signal).then(() => stop.abort());
    await withHsm(file, async (hsm) => {
      const checkpointer = checkpointerOf(hsm, file);
      const settings = forwarderSettings(file.audit);
      const tasks = {
        checkpoints: checkpointer && checkpoints && { checkpointer, everySeconds: checkpoints.everySeconds },
        forwarder: settings && new Forwarder(settings, (alarm) => say('stderr', `ALARM: ${alarm}`)),
      };
      say('stdout', `keeping trail ${file.audit.trail}`);
      await keepAudit(tasks, observer, stop.signal);
    });
  }
}

const observer: AuditObserver = {
  onCheckpoint: ({ checkpoint }) =>
    say('stdout', `checkpoint ${checkpoint.number} over ${checkpoint.chains.length} chains`),
  onForwarded: (messages) => say('stdout', `${messages} messages taken by the collector`),
  onFault: (task, error) => say('stderr', `${task}: ${faultText(error)}`),
};

function checkpointerOf(hsm: Hsm | undefined, { audit }: AuditFile): Checkpointer | undefined {
  const settings = checkpointSettings(audit);
  return hsm && settings && new Checkpointer(hsm, settings);
}

async function withHsm({ hsm: token, audit }: AuditFile, work: (hsm: Hsm | undefined) => Promise<void>): Promise<void> {
  const hsm = token && audit.checkpoints && (await Hsm.open({ ...token, client: 'nest-hsm' }));
  try {
    await work(hsm);
  } finally {
    await hsm?.close();
  }
}

function say(stream: 'stdout' | 'stderr', text: string): void {
  process[stream].write(`${new Date().toISOString()} ${printable(text)}\n`);
}

/** An error without a code is our bug and shows its stack. */
function faultText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? `${String(error.code)}: ${error.message}` : (error.stack ?? error.message);
}
