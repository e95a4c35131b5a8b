import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import {
  driver,
  type DriverReport,
  forwardingDriver,
  newForwardingTask,
  newTask,
} from '../../libs/tls-offload/test/drive.js';

/** What a worker that runs the driver answers. */
function driveInWorker(aborts: number, rounds: number): Promise<DriverReport> {
  const worker = new Worker(driver, { workerData: newTask(aborts, rounds) });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

describe('the TLS addon', () => {
  it('loads from the built package without anything before it', async () => {
    const index = new URL('../../libs/tls-offload/dist/index.js', import.meta.url).href;
    const script = `import { TlsTerminator } from '${index}'; try { new TlsTerminator({ credentials: [] }) } catch (e) { console.log(e.code) }`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
    expect(stdout.trim()).toBe('ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED');
  });

  it('serves several worker threads at once, each with its own sessions', async () => {
    const reports = await Promise.all([driveInWorker(50, 4), driveInWorker(50, 4)]);
    for (const report of reports) expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 75 });
  });

  it('lets a worker end in the middle of its handshakes', async () => {
    for (let count = 0; count < 4; count++) {
      const worker = new Worker(driver, { workerData: newTask(10_000, 1) });
      worker.once('error', () => undefined);
      await new Promise((resolve) => setTimeout(resolve, 150 + 100 * count));
      await worker.terminate();
    }
    // The process is whole, and so is the provider that its threads share.
    expect(await driveInWorker(25, 1)).toMatchObject({ liveSessions: 0, pausedJobs: 0 });
  });

  it('closes what it forwards when a worker ends', async () => {
    const end = async (way: (worker: Worker) => unknown): Promise<void> => {
      const worker = new Worker(forwardingDriver, { workerData: newForwardingTask(20, 1, 6) });
      const exit = new Promise((resolve) => worker.once('exit', resolve));
      const report = await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      expect(report).toMatchObject({ liveSessions: 0, broken: 40 });
      await way(worker);
      await exit;
    };
    // A loop that still held a handle of ours would abort the process.
    await Promise.all([end((worker) => worker.terminate()), end((worker) => worker.postMessage('exit'))]);
  });
});
