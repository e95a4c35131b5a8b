import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AddonVariant } from '../../../test/support/addon-variant.js';
import { newTask } from './drive.js';

const run = promisify(execFile);
const linux = process.platform === 'linux' ? describe : describe.skip;
const serving = fileURLToPath(new URL('serve-once.mjs', import.meta.url));
const bodyBytes = 40 * 16 * 1024;

linux('what only an addon that is compiled for it does', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-variants-'));
  let variant: AddonVariant;
  beforeAll(() => {
    variant = new AddonVariant('tls-offload', 'key_log=1,records_per_key=8');
  }, 300_000);
  afterAll(() => {
    variant.remove();
    rmSync(directory, { recursive: true });
  });

  /** One client, openssl, that is sent 40 full records. @returns its log of messages, and the keys that the server has logged */
  async function visit(version: string, environment: NodeJS.ProcessEnv): Promise<{ messages: string; keys: string }> {
    const task = newTask(0, 0);
    const file = (name: string, content = ''): string => {
      writeFileSync(join(directory, name), content);
      return join(directory, name);
    };
    const keyLog = join(directory, `keys-${Object.keys(environment).length}-${version}`);
    const server = fork(serving, [JSON.stringify({ ...task, bodyBytes })], {
      env: { ...process.env, NODE_OPTIONS: '', SSLKEYLOGFILE: keyLog, ...environment },
      execArgv: [],
    });
    try {
      const [port] = (await once(server, 'message')) as [number];
      const trusted = [
        '-CAfile',
        file('root.pem', task.certificate),
        '-verify_return_error',
        '-servername',
        'localhost',
      ];
      const messages = file('messages');
      const options = ['-connect', `127.0.0.1:${port}`, version, '-quiet', '-msg', '-msgfile', messages, ...trusted];
      const client = run('openssl', ['s_client', ...options], { encoding: 'buffer', maxBuffer: 2 * bodyBytes });
      expect((await client).stdout.length).toBe(bodyBytes);
      return {
        messages: readFileSync(messages, 'utf8'),
        keys: existsSync(keyLog) ? readFileSync(keyLog, 'utf8') : '',
      };
    } finally {
      server.kill();
    }
  }

  it('writes the secrets of connections, and renews worn keys of TLS 1.3', async () => {
    const { messages, keys } = await visit('-tls1_3', variant.environment());
    expect(keys).toMatch(/^SERVER_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/m);
    // After each eight of 40 records, but for the last.
    expect(messages.match(/<<< TLS 1\.3.*KeyUpdate/g)).toHaveLength(4);
    const old = await visit('-tls1_2', variant.environment());
    expect(old.keys).toMatch(/^CLIENT_RANDOM /m);
    expect(old.messages).not.toContain('KeyUpdate');
  });

  it('is not done by the one that is shipped', async () => {
    const { messages, keys } = await visit('-tls1_3', {});
    expect(messages).toContain('<<< TLS 1.3');
    expect(messages).not.toContain('KeyUpdate');
    expect(keys).toBe('');
  });
});
