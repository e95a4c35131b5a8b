import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface NginxBinary {
  readonly path: string;
  /** ngx_stream_module.so */
  readonly streamModule: string;
}

/** The programs that are compared with. What could not be had is undefined, and a line of `absent` says why. */
export interface Peers {
  readonly nginx: NginxBinary | undefined;
  /** Path of the PKCS#11 engine for OpenSSL 3 (OpenSC libp11), pkcs11.so. */
  readonly engine: string | undefined;
  readonly absent: readonly string[];
}

/**
 * The system's where they are installed, else Debian's packages, unpacked below `folder` without being installed. nginx is the
 * binary of Debian's nginx, nginx-light and nginx-full alike.
 */
export function providePeers(folder: string): Peers {
  const absent: string[] = [];
  const provide = <Found>(packages: readonly string[], find: (root: string) => Found | undefined) => {
    try {
      return find('/') ?? find(join(folder, 'root')) ?? unpack(packages, folder, find);
    } catch (error) {
      absent.push((error as Error).message);
      return undefined;
    }
  };
  const nginx = provide(['nginx', 'libnginx-mod-stream'], findNginx);
  const engine = provide(['libengine-pkcs11-openssl'], findEngine);
  return { nginx, engine, absent };
}

function unpack<Found>(packages: readonly string[], folder: string, find: (root: string) => Found | undefined): Found {
  const wanted = packages.join(' and ');
  try {
    mkdirSync(folder, { recursive: true });
    execFileSync('apt-get', ['download', ...packages], { cwd: folder, stdio: 'pipe' });
    for (const name of packages) {
      const [archive] = readdirSync(folder).filter((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
      execFileSync('dpkg', ['--extract', archive, 'root'], { cwd: folder, stdio: 'pipe' });
    }
  } catch (cause) {
    throw new Error(`want ${wanted} installed, or apt-get that can download them (after apt-get update)`, { cause });
  }
  const found = find(join(folder, 'root'));
  if (found === undefined) throw new Error(`want in ${wanted} what is in those of Debian, got something else`);
  return found;
}

function findNginx(root: string): NginxBinary | undefined {
  const path = join(root, 'usr/sbin/nginx');
  const streamModule = join(root, 'usr/lib/nginx/modules/ngx_stream_module.so');
  return existsSync(path) && existsSync(streamModule) ? { path, streamModule } : undefined;
}

/** lib/pkcs11.so of OpenSSL's engine folder, with or without Debian's folder for the platform. */
function findEngine(root: string): string | undefined {
  const lib = join(root, 'usr/lib');
  if (!existsSync(lib)) return undefined;
  return ['', ...readdirSync(lib)]
    .map((platform) => join(lib, platform, 'engines-3/pkcs11.so'))
    .find((path) => existsSync(path));
}
