import { drive, newTask } from './drive.js';

/** Without draining, each client that left would leave a fibre stack of 32 KiB: 96 MB. */
const allowedGrowthBytes = 8 * 1024 * 1024;

describe('3,000 clients that leave while their signature is made', () => {
  it('leave no session, no paused fibre and no memory behind', async () => {
    const report = await drive(newTask(3_000, 40));
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 3_500 });
    expect(report.grownBytes).toBeLessThan(allowedGrowthBytes);
  }, 300_000);
});
