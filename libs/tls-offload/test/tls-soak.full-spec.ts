import { drive, driveForwarding, newForwardingTask, newTask } from './drive.js';

/** Without draining, each client that left would leave a fibre stack of 32 KiB: 96 MB. */
const allowedGrowthBytes = 8 * 1024 * 1024;

describe('3,000 clients that leave while their signature is made', () => {
  it('leave no session, no paused fibre and no memory behind', async () => {
    const report = await drive(newTask(3_000, 40));
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 3_500 });
    expect(report.grownBytes).toBeLessThan(allowedGrowthBytes);
  }, 300_000);
});

describe('3,840 forwarded connections that break', () => {
  it('leave no session, no socket and no memory behind', async () => {
    const report = await driveForwarding(newForwardingTask(3_840, 10));
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, broken: 4_800, grownDescriptors: 0 });
    // The allocator holds up to 18 MB of the clients' buffers now and then; it does not grow with twice the connections. 3,840
    // sessions would be 80 MB.
    expect(report.grownBytes).toBeLessThan(3 * allowedGrowthBytes);
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
