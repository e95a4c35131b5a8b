import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildHeapProbe, drive, driveForwarding, newForwardingTask, newTask } from './drive.js';

/** Without draining, each client that left would leave a fibre stack of 32 KiB: 96 MB. */
const allowedGrowthBytes = 8 * 1024 * 1024;

describe('3,000 clients that leave while their signature is made', () => {
  it('leave no session, no paused fibre and no memory behind', async () => {
    const report = await drive(newTask(3_000, 40));
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 3_500 });
    expect(report.grownBytes).toBeLessThan(allowedGrowthBytes);
  }, 300_000);
});

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-soak-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('3,840 forwarded connections that break', () => {
  it('leave no session, no socket and no memory behind', async () => {
    const report = await driveForwarding({ ...newForwardingTask(3_840, 10), heapProbe: buildHeapProbe(directory) });
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, broken: 4_800, grownDescriptors: 0 });
    // Less than 300 bytes a connection; a session has 20 KiB.
    expect(report.grownBytes).toBeLessThan(1024 * 1024);
    // Each way was gone.
    expect(Object.keys(report.interrupted).sort()).toEqual([
      'ERR_TLS_OFFLOAD_CLOSED',
      'ERR_TLS_OFFLOAD_CONNECTION_IDLE',
      'ERR_TLS_OFFLOAD_PEER_GONE',
      'ERR_TLS_OFFLOAD_RECORD_INVALID',
    ]);
    expect(report.failed.ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE).toBeGreaterThan(0);
  }, 300_000);
});
