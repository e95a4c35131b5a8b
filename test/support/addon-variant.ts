import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const buildScript = fileURLToPath(new URL('../../scripts/build-native.mjs', import.meta.url));

/** The native addon of a library, built otherwise than it is shipped, into a directory of its own. */
export class AddonVariant {
  readonly #package = join(mkdtempSync(join(tmpdir(), 'nest-hsm-addon-')), 'package');

  /** @param library  its folder under libs/ @param options  variables of its binding.gyp, e.g. `key_log=1` */
  constructor(
    private readonly library: string,
    options: string,
  ) {
    const build = [buildScript, '--variant', options, library, this.#package];
    execFileSync(process.execPath, build, { stdio: 'pipe' });
  }

  /** For a process that is to load this binary in place of the library's own. */
  environment(): NodeJS.ProcessEnv {
    // Where node-gyp-build looks first.
    return { [`@NEST_HSM/${this.library.toUpperCase().replace('-', '_')}_PREBUILD`]: this.#package };
  }

  /** The directory of the one binary. */
  get directory(): string {
    return join(this.#package, 'prebuilds', `${process.platform}-${process.arch}`);
  }

  /** @throws {Error} when there is not exactly one binary */
  get binary(): string {
    const [name, ...others] = readdirSync(this.directory);
    if (others.length > 0) throw new Error(`addon: want one binary, got ${[name, ...others].join(', ')}`);
    return join(this.directory, name);
  }

  remove(): void {
    rmSync(join(this.#package, '..'), { recursive: true });
  }
}
