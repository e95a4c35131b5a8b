import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Compiles shim.c with the machine's C compiler, once for each state of its source.
 * The PKCS#11 declarations are those that pkcs11js is compiled against.
 * @returns the path of the shared object, below var/
 */
export function buildShim(): string {
  const root = repositoryRoot();
  const source = join(root, 'test/chaos/shim.c');
  const hash = createHash('sha256');
  for (const file of [source, join(root, 'test/chaos/control.h')]) hash.update(readFileSync(file));

  const directory = join(root, 'var/cache/chaos');
  const built = join(directory, `shim-${process.platform}-${process.arch}-${hash.digest('hex').slice(0, 16)}.so`);
  if (existsSync(built)) return built;

  mkdirSync(directory, { recursive: true });
  const unfinished = `${built}.${process.pid}`;
  const include = join(root, 'node_modules/pkcs11js/includes');
  const flags = ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-Werror', '-I', include];
  execFileSync(process.env.CC ?? 'cc', [...flags, '-o', unfinished, source, '-ldl'], { stdio: 'pipe' });
  // Several test processes may build at once; a rename lets each of them see a whole file or none.
  renameSync(unfinished, built);
  return built;
}

/** The same from src, from jest and from the bench's build under var/. */
function repositoryRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'nest-cli.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error('chaos: want to run inside the repository, found no nest-cli.json above');
    directory = parent;
  }
  return directory;
}
