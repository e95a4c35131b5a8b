import { endAllOf, MainJob, processesOf } from '../support/main-job.js';
import { ScratchWorkspace } from '../support/scratch-workspace.js';

// What is left over is looked for in /proc.
(process.platform === 'linux' ? describe : describe.skip)('npm start, when something is killed', () => {
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

  it('leaves no process behind when it is killed, agents included', async () => {
    expect(processesOf(workspace).length).toBeGreaterThan(5);
    job.process.kill('SIGKILL');
    await job.until(() => processesOf(workspace).length === 0);
    expect(processesOf(workspace)).toEqual([]);
  }, 300_000);

  it('ends with the last words of an application that dies', async () => {
    const victim = processesOf(workspace).find((found) => found.includes('records/main.js'));
    process.kill(parseInt(victim ?? '', 10), 'SIGKILL');
    expect(await job.ended).toBe(1);
    expect(job.said).toMatch(
      /nest-hsm: records: ended by itself \(SIGKILL\)\.\nIts last words, from var\/log\/records\.log:/,
    );
    expect(processesOf(workspace)).toEqual([]);
  }, 300_000);
});
