import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { endAllOf, MainJob, processesOf } from '../support/main-job.js';
import { runProcess, ScratchWorkspace } from '../support/scratch-workspace.js';

const readme = readFileSync('README.md', 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code]) => code);

describe('the README', () => {
  const examples = readdirSync('test/e2e/consumer').filter((name) => name.endsWith('.example.ts'));

  it.each(examples)('shows %s as it is compiled and run', (name) => {
    const shown = new RegExp(`<!-- example: ${name} -->\n+\`\`\`ts\n([^]*?)^\`\`\`$`, 'm').exec(readme)?.[1];
    expect(shown).toBe(readFileSync(join('test/e2e/consumer', name), 'utf8'));
  });

  it.each(examples)('of its package shows %s likewise', (name) => {
    const library = name.replace('.example.ts', '');
    const shown = readFileSync(join('libs', library, 'README.md'), 'utf8').split(`<!-- example: ${name} -->`)[1];
    expect(/^\s+```ts\n([^]*?)^```$/m.exec(shown)?.[1]).toBe(readFileSync(join('test/e2e/consumer', name), 'utf8'));
  });

  it('shows no other code', () => {
    expect(blocks('ts')).toHaveLength(examples.length);
  });

  it('links to what is there', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, target]) => target);
    expect(links.filter((target) => !target.startsWith('http') && !existsSync(target))).toEqual([]);
  });

  it('names npm scripts that are there', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const named = [...readme.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map(([, script]) => script);
    expect(named.filter((script) => !(script in scripts))).toEqual([]);
  });
});

// What is left over is looked for in /proc.
(process.platform === 'linux' ? describe : describe.skip)('npm start', () => {
  const sh = (command: string, workspace: ScratchWorkspace) =>
    runProcess('sh', ['-c', command], { cwd: workspace.root, env: { ...process.env, NO_COLOR: '1' } });
  let workspace: ScratchWorkspace;
  let job: MainJob;

  beforeEach(async () => {
    workspace = new ScratchWorkspace();
    job = await MainJob.up(workspace);
  }, 300_000);

  afterEach(async () => {
    await endAllOf(workspace);
    workspace.remove();
  });

  it('invites to commands that work as they are printed, as those of the README do, and Ctrl-C ends all', async () => {
    const [, printed] = /Try, in another terminal in this folder:\n((?: {2}\S.*\n)+)/.exec(job.said) ?? [];
    const [list, handshake, keys] = printed
      .trim()
      .split('\n')
      .map((line) => line.trim());
    expect(JSON.parse((await sh(list, workspace)).stdout)).toEqual([expect.objectContaining({ name: 'Ada Example' })]);
    expect((await sh(handshake, workspace)).stderr).toMatch(
      /Verification: OK[^]*TLSv1\.3|TLSv1\.3[^]*Verification: OK/,
    );
    expect((await sh(keys, workspace)).stdout).toMatch(/^sidecar +1 +ec-p256 +sign /m);
    const another = /^And another certificate: (.+)$/m.exec(job.said)?.[1] ?? '';
    expect(JSON.parse((await sh(another, workspace)).stdout)).toMatchObject({
      serial: expect.stringMatching(/^[0-9a-f]+$/),
    });

    const commands = blocks('sh').flatMap((block) =>
      block.split('\n').filter((line) => line.startsWith('npm run nest-hsm')),
    );
    expect(commands.length).toBeGreaterThan(2);
    for (const command of commands) expect([command, (await sh(command, workspace)).code]).toEqual([command, 0]);

    job.process.kill('SIGINT');
    expect(await job.ended).toBe(0);
    expect(job.said).toMatch(/Stopping \(SIGINT\)\.\nAll processes have ended\.\n$/);
    expect(processesOf(workspace)).toEqual([]);
  }, 300_000);
});
