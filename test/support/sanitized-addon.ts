import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const buildScript = fileURLToPath(new URL('../../scripts/build-native.mjs', import.meta.url));

/** What every sanitized binary calls: AddressSanitizer's and UndefinedBehaviorSanitizer's reports. */
export const sanitizerSymbols = ['__asan_report_store', '__ubsan_handle_'] as const;

/** The native addon of a library, built with the sanitizers into a directory of its own. Linux with g++ alone. */
export class SanitizedAddon {
  readonly #package = join(mkdtempSync(join(tmpdir(), 'nest-hsm-sanitized-')), 'package');

  /** @param library  its folder under libs/ */
  constructor(private readonly library: string) {
    const build = [buildScript, '--sanitize', library, this.#package];
    execFileSync(process.execPath, build, { stdio: 'pipe' });
  }

  /** For a process that is to load this binary in place of the library's own. @param asanOptions  besides the usual ones */
  environment(asanOptions = ''): NodeJS.ProcessEnv {
    return {
      // Where node-gyp-build looks first.
      [`@NEST_HSM/${this.library.toUpperCase().replace('-', '_')}_PREBUILD`]: this.#package,
      LD_PRELOAD: execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
      // Node itself is not built for leak detection.
      ASAN_OPTIONS: `detect_leaks=0:halt_on_error=1:abort_on_error=0${asanOptions}`,
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    };
  }

  /** The directory of the one binary. */
  get directory(): string {
    return join(this.#package, 'prebuilds', `${process.platform}-${process.arch}`);
  }

  /** @returns which of the symbols the binary has not @throws {Error} when there is not exactly one binary */
  missingSymbols(symbols: readonly string[] = sanitizerSymbols): string[] {
    const [name, ...others] = readdirSync(this.directory);
    if (others.length > 0) throw new Error(`sanitized addon: want one binary, got ${[name, ...others].join(', ')}`);
    const binary = readFileSync(join(this.directory, name));
    return symbols.filter((symbol) => !binary.includes(symbol));
  }

  remove(): void {
    rmSync(join(this.#package, '..'), { recursive: true });
  }
}
