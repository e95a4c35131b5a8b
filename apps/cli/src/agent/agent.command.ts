import { once } from 'node:events';
import { SharedAgent, type SharedAgentConfig, sharedAgentConfigSchema } from '@nest-hsm/hsm';
import { Command, CommandRunner, Option } from 'nest-commander';
import { z } from 'zod';
import { readSections } from '../config.js';

const agentFile = z.looseObject({ agent: sharedAgentConfigSchema });

interface AgentOptions {
  readonly config: string;
}

@Command({
  name: 'agent',
  description: 'One login for several processes of this host, through a socket for each role. Ends on SIGTERM',
})
export class AgentCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({
    flags: '-c, --config <file>',
    description: 'a YAML file; its agent section is used, and read again on SIGHUP',
    required: true,
  })
  parseConfig(value: string): string {
    return value;
  }

  async run(_: string[], { config }: AgentOptions): Promise<void> {
    const told = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
    const agent = await SharedAgent.start(await read(config), {
      agentStarted: ({ label, serial }) => log(`serves token ${label} (${serial})`),
      agentLost: (reason) => log(`${describe(reason)}; replaced`),
      agentRefused: (reason, final) =>
        log(`${describe(reason)}; ${final ? 'not tried again until it is mended' : 'tried again'}`),
    });
    process.on('SIGHUP', () => void reload(agent, config));
    const sockets = agent.roles.map(({ name, socket }) => `${name} at ${socket}`);
    process.stdout.write(`ready: ${sockets.join(', ')}\n`);
    await told;
    await agent.close();
  }
}

async function read(file: string): Promise<SharedAgentConfig> {
  return (await readSections(file, agentFile)).agent;
}

async function reload(agent: SharedAgent, file: string): Promise<void> {
  try {
    agent.reload(await read(file));
    log('configuration read again');
  } catch (error) {
    log(`${describe(error as Error)}; goes on as before`);
  }
}

function describe(error: Error): string {
  return 'code' in error ? `${String(error.code)}: ${error.message}` : String(error);
}

/** One line, whatever the text has. */
function log(text: string): void {
  process.stderr.write(`nest-hsm agent: ${text.replaceAll(/\s*\n\s*/g, '; ')}\n`);
}
