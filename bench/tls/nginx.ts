import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';

export interface NginxBinary {
  readonly path: string;
  /** ngx_stream_module.so, undefined where it is compiled in. */
  readonly streamModule: string | undefined;
}

/**
 * Debian's nginx with its stream module, the system's where both are installed, else unpacked below `folder` without being
 * installed.
 * @throws where neither can be had
 */
export function provideNginx(folder: string): NginxBinary {
  const found = findNginx('/') ?? findNginx(join(folder, 'root'));
  if (found !== undefined) return found;

  mkdirSync(folder, { recursive: true });
  const packages = ['nginx', 'libnginx-mod-stream'];
  try {
    execFileSync('apt-get', ['download', ...packages], { cwd: folder, stdio: 'pipe' });
    for (const name of packages) {
      const [archive] = readdirSync(folder).filter((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
      execFileSync('dpkg', ['--extract', archive, 'root'], { cwd: folder, stdio: 'pipe' });
    }
  } catch (cause) {
    const wanted = packages.join(' and ');
    throw new Error(`bench: want ${wanted} installed, or apt-get that can download them (after apt-get update)`, {
      cause,
    });
  }
  const unpacked = findNginx(join(folder, 'root'));
  if (unpacked === undefined)
    throw new Error('bench: want nginx and ngx_stream_module.so in their packages, got neither');
  return unpacked;
}

function findNginx(root: string): NginxBinary | undefined {
  const path = join(root, 'usr/sbin/nginx');
  const streamModule = join(root, 'usr/lib/nginx/modules/ngx_stream_module.so');
  return existsSync(path) && existsSync(streamModule) ? { path, streamModule } : undefined;
}

export interface NginxTask {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly upstreamPort: number;
}

/** nginx in one process, which takes TLS and passes what is in it to a TCP server. */
export class NginxProxy {
  static async start({ path, streamModule }: NginxBinary, task: NginxTask): Promise<NginxProxy> {
    const directory = mkdtempSync('/tmp/nest-hsm-bench-nginx-');
    const port = await freePort();
    writeFileSync(
      join(directory, 'nginx.conf'),
      `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log;
       ${streamModule === undefined ? '' : `load_module ${streamModule};`}
       events { worker_connections 65536; }
       stream {
         server {
           listen 127.0.0.1:${port} ssl backlog=1024;
           ssl_certificate ${task.certificateFile}; ssl_certificate_key ${task.keyFile};
           ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
           proxy_pass 127.0.0.1:${task.upstreamPort}; proxy_buffer_size 64k; proxy_timeout 10m;
         }
       }`,
    );
    const child = spawn(path, ['-p', directory, '-c', 'nginx.conf', '-e', join(directory, 'error.log')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const proxy = new NginxProxy(child, port, directory);
    await proxy.#listening();
    return proxy;
  }

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
    private readonly directory: string,
  ) {}

  get pid(): number {
    return this.child.pid as number;
  }

  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
    rmSync(this.directory, { recursive: true });
  }

  async #listening(): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (this.child.exitCode !== null) throw new Error(`bench: nginx ended with ${this.child.exitCode}`);
      const socket = connect(this.port, '127.0.0.1');
      const outcome = await new Promise((resolve) => {
        socket.once('connect', () => resolve('connected'));
        socket.once('error', () => resolve('refused'));
      });
      socket.destroy();
      if (outcome === 'connected') return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error('bench: want nginx to listen within 5 s, got nothing');
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
