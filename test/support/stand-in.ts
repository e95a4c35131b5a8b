import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HsmConfig, HsmTokenMemberConfig } from '@nest-hsm/hsm';
import { type Overrides, split } from './token.js';

/** An agent without a token that misbehaves as told (stand-in-agent.mjs), and what it left behind. */
export class StandIn {
  readonly entry = fileURLToPath(new URL('./stand-in-agent.mjs', import.meta.url));
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-stand-in-'));

  /** @param starts  what each agent does at its start, in order: ok, crash, exit, hang or an error code */
  constructor(...starts: string[]) {
    writeFileSync(join(this.directory, 'script'), starts.join('\n'));
  }

  config(overrides: Overrides = {}): HsmConfig {
    const [member, fleet] = split(overrides);
    return { name: 'stand-in', members: [this.member(member)], stateDirectory: this.directory, ...fleet };
  }

  member(overrides: Partial<HsmTokenMemberConfig> = {}): HsmTokenMemberConfig {
    return {
      module: '/none',
      token: { label: 'stand-in' },
      pin: { file: '/none' },
      moduleEnvironment: { STAND_IN_DIRECTORY: this.directory },
      ...overrides,
    };
  }

  /** Process ids of the agents started so far. */
  get started(): number[] {
    return this.lines('started').map(Number);
  }

  /** What the agents wrote to a file: `verbs` that arrived and their `attempts`, `cancelled` request ids. */
  lines(name: string): string[] {
    const path = join(this.directory, name);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  }

  /** The first message that agent number `start` got, with its environment and Node options. */
  hello(start: number): { request: unknown; env: Record<string, string>; argv: string[] } {
    const text = readFileSync(join(this.directory, `hello-${start}`), 'utf8');
    return JSON.parse(text) as { request: unknown; env: Record<string, string>; argv: string[] };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
