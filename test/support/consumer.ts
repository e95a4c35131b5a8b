import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Outcome, runProcess } from './scratch-workspace.js';

export const libraries = ['hsm', 'ca', 'tls-offload', 'data-encryption', 'audit'];
/** What the consumer has beside our packages: their peers, a driver that is not ours, and a compiler. */
const companions = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-fastify',
  '@nestjs/terminus',
  '@nestjs/typeorm',
  '@types/node',
  'pg',
  'reflect-metadata',
  'rxjs',
  'typeorm',
  'typescript',
];
const compilerOptions = {
  target: 'es2023',
  module: 'nodenext',
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  rootDir: 'src',
  outDir: 'dist',
  types: ['node'],
};
const headers = join(process.cwd(), 'node_modules', `node-linux-${process.arch}`);
const environment = {
  ...process.env,
  // node-gyp's, for the one package that compiles: no headers from the network, and all cores.
  ...(process.platform === 'linux' && { npm_config_nodedir: headers }),
  JOBS: 'max',
};

/** An empty project somewhere else, with our packages packed and installed as npm would install them from a registry. */
export class Consumer {
  /** What each package's tarball holds, by the package's name. */
  readonly packed: Readonly<Record<string, readonly string[]>>;

  private constructor(
    readonly directory: string,
    tarballs: readonly Tarball[],
  ) {
    this.packed = Object.fromEntries(tarballs.map(({ name, files }) => [name, files.map(({ path }) => path)]));
  }

  /** Packs, installs, and lays the README's examples under `src`. */
  static async install(): Promise<Consumer> {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-consumer-'));
    const npm = (...args: string[]) => promisify(execFile)('npm', args, { cwd: directory, env: environment });
    const sources = libraries.map((name) => join(process.cwd(), 'libs', name));
    const pack = await npm('pack', '--json', '--pack-destination', directory, ...sources);
    const tarballs = JSON.parse(pack.stdout) as Tarball[];
    const project = {
      name: 'consumer',
      private: true,
      type: 'module',
      dependencies: {
        ...Object.fromEntries(companions.map((name) => [name, installedVersion(name)])),
        ...Object.fromEntries(tarballs.map(({ name, filename }) => [name, `file:${filename}`])),
      },
      allowScripts: { pkcs11js: true },
    };
    writeFileSync(join(directory, 'package.json'), JSON.stringify(project));
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
    cpSync('test/e2e/consumer', join(directory, 'src'), { recursive: true });
    await npm('install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error');
    return new Consumer(directory, tarballs);
  }

  /** Runs the consumer's own TypeScript compiler. */
  compile(...options: string[]): Promise<Outcome> {
    const compiler = join('node_modules', 'typescript', 'bin', 'tsc');
    return runProcess(process.execPath, [compiler, ...options], { cwd: this.directory });
  }

  /** Runs what was compiled. */
  run(task: unknown, env: NodeJS.ProcessEnv, node = process.execPath): Promise<Outcome> {
    const args = [join('dist', 'run.js'), JSON.stringify(task)];
    return runProcess(node, args, { cwd: this.directory, env: { ...process.env, ...env } });
  }

  /** The text of one of the package's files in the consumer's node_modules. */
  read(...path: string[]): string {
    return readFileSync(join(this.directory, ...path), 'utf8');
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

interface Tarball {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

function installedVersion(name: string): string {
  return (JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string }).version;
}
