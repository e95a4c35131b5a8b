import { once } from 'node:events';
import { SharedAgent, sharedAgentConfigSchema } from '@nest-hsm/hsm';
import { Command, CommandRunner, Option } from 'nest-commander';
import { z } from 'zod';
import { readSections } from '../config.js';

const agentFile = z.looseObject({ agent: sharedAgentConfigSchema });
/** A closed terminal ends it as gently as its service manager does. */
const endingSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

interface AgentOptions {
  readonly config: string;
}

@Command({
  name: 'agent',
  description: 'One login for several processes of this host, through a socket per role, until SIGTERM',
})
export class AgentCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({ flags: '-c, --config <file>', description: 'a YAML file; its agent section is used', required: true })
  parseConfig(value: string): string {
    return value;
  }

  async run(_: string[], { config }: AgentOptions): Promise<void> {
    const { agent: settings } = await readSections(config, agentFile);
    const stopping = new AbortController();
    const told = Promise.race(endingSignals.map((name) => once(process, name, { signal: stopping.signal })));
    const agent = await SharedAgent.start(settings, {
      agentStarted: ({ label, serial }) => log(`serves token ${label} (${serial})`),
      agentLost: ({ code, message }) => log(`${code}: ${message}; replaced`),
      agentRefused: ({ code, message }, final) =>
        log(`${code}: ${message}; ${final ? 'not tried again' : 'tried again'}`),
    });
    const sockets = agent.roles.map(({ name, socket }) => `${name} at ${socket}`);
    process.stdout.write(`ready: ${sockets.join(', ')}\n`);
    await told;
    stopping.abort();
    await agent.close();
  }
}

function log(text: string): void {
  process.stderr.write(`nest-hsm agent: ${text}\n`);
}
