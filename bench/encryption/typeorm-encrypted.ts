import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The last of each that belong together: typeorm-encrypted knows no TypeORM after 0.3. */
const packages = ['typeorm-encrypted@0.8.0', 'typeorm@0.3.31', 'reflect-metadata@0.2.2'];

/**
 * A folder below `folder` with typeorm-encrypted and the TypeORM it works with. The SQLite driver is the project's own.
 * @throws where the packages cannot be had
 */
export function provideTypeormEncrypted(folder: string): string {
  const place = join(folder, 'typeorm-encrypted');
  if (existsSync(join(place, 'node_modules/typeorm-encrypted/package.json'))) return place;
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'package.json'), JSON.stringify({ private: true }));
  const options = ['--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund', '--no-package-lock'];
  execFileSync('npm', ['install', ...options, ...packages], { cwd: place, stdio: 'pipe' });
  return place;
}
