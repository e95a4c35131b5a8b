import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const packageName = 'libengine-pkcs11-openssl';

/**
 * The PKCS#11 engine for OpenSSL 3 (OpenSC libp11). The system's where it is installed, else Debian's package, unpacked below
 * `folder` without being installed.
 * @returns the path of pkcs11.so
 * @throws where neither can be had
 */
export function provideEngine(folder: string): string {
  const found = findEngine('/usr/lib') ?? findEngine(join(folder, 'root/usr/lib'));
  if (found !== undefined) return found;

  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('apt-get', ['download', packageName], { cwd: folder, stdio: 'pipe' });
    const [archive] = readdirSync(folder).filter((name) => name.startsWith(packageName) && name.endsWith('.deb'));
    execFileSync('dpkg', ['--extract', archive, 'root'], { cwd: folder, stdio: 'pipe' });
  } catch (cause) {
    throw new Error(`bench: want ${packageName} installed, or apt-get that can download it (after apt-get update)`, {
      cause,
    });
  }
  const unpacked = findEngine(join(folder, 'root/usr/lib'));
  if (unpacked === undefined) throw new Error(`bench: want pkcs11.so in ${packageName}, got none`);
  return unpacked;
}

/** lib/pkcs11.so of OpenSSL's engine folder, with or without Debian's folder for the platform. */
function findEngine(lib: string): string | undefined {
  if (!existsSync(lib)) return undefined;
  const folders = ['', ...readdirSync(lib)].flatMap((platform) =>
    ['engines-3', 'ossl-modules-3'].map((engines) => join(lib, platform, engines, 'pkcs11.so')),
  );
  return folders.find((path) => existsSync(path));
}
