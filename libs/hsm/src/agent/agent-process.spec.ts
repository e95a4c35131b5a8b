import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentProcess } from './agent-process.js';
import { auditAlarm } from './protocol.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-agent-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('warns of an agent that loses audit lines, in whatever pieces it says so, and of nothing else', async () => {
  const entry = join(directory, 'agent.mjs');
  const words = JSON.stringify(`a module talks\n${auditAlarm}disk full\n${'x'.repeat(10_000)}`);
  writeFileSync(
    entry,
    `for (const piece of ${words}.match(/[^]{1,20}/g)) await new Promise((done) => process.stderr.write(piece, done));`,
  );
  const emitWarning = process.emitWarning.bind(process);
  const warnings: unknown[] = [];
  process.emitWarning = (warning: unknown) => void warnings.push(warning);
  const agent = new AgentProcess({ environment: {}, threads: 1, entry });
  await agent.exited;
  process.emitWarning = emitWarning;
  expect(warnings).toEqual([`${auditAlarm}disk full`]);
  expect(agent.epitaph).toMatch(/^exit code 0: x+$/);
});
