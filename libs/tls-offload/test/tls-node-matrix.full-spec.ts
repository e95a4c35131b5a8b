import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drive, driveHttps, newTask } from './drive.js';

const linux = process.platform === 'linux' ? describe : describe.skip;

linux('the one binary', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-node-matrix-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  // The oldest that the package's `engines` allows, and the newest of each line.
  it.each(['22.20.0', '22', '24', '26'])(
    'works in Node.js %s',
    async (version) => {
      const folder = join(directory, version);
      const name = `node-linux-${process.arch}`;
      execFileSync('mkdir', [folder]);
      writeFileSync(join(folder, 'package.json'), '{ "private": true }');
      execFileSync('npm', ['install', '--no-audit', '--no-fund', `${name}@${version}`], { cwd: folder, stdio: 'pipe' });
      const node = join(folder, 'node_modules', name, 'bin/node');
      const report = await drive(newTask(50, 5), { node });
      expect(report.node).toMatch(new RegExp(`^v${version}(\\.|$)`));
      expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 75 });

      // The embedded server, by way of the L7 proxy and by the agent, each with a certificate that it wants.
      const answered = { client: 'localhost', by: true, trailers: { 'x-sum': '7' }, trailer: 'told' };
      expect(await driveHttps({ node })).toEqual({
        node: report.node,
        http1: { ...answered, body: 'over http/1.1' },
        http2: { ...answered, body: 'over h2' },
        websocket: [expect.stringMatching(/^HTTP\/1\.1 101 /), 'echoed'],
        agent: { ...answered, body: 'over http/1.1' },
      });
    },
    300_000,
  );
});
