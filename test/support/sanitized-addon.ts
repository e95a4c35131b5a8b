import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { AddonVariant } from './addon-variant.js';

/** What every sanitized binary calls: AddressSanitizer's and UndefinedBehaviorSanitizer's reports. */
export const sanitizerSymbols = ['__asan_report_store', '__ubsan_handle_'] as const;

/** The native addon of a library, built with the sanitizers. Linux with g++ alone. */
export class SanitizedAddon extends AddonVariant {
  /** @param library  its folder under libs/ */
  constructor(library: string) {
    super(library, 'sanitize=1');
  }

  /** @param asanOptions  besides the usual ones */
  override environment(asanOptions = ''): NodeJS.ProcessEnv {
    return {
      ...super.environment(),
      LD_PRELOAD: execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
      // Node itself is not built for leak detection.
      ASAN_OPTIONS: `detect_leaks=0:halt_on_error=1:abort_on_error=0${asanOptions}`,
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    };
  }

  /** @returns which of the symbols the binary has not @throws {Error} when there is not exactly one binary */
  missingSymbols(symbols: readonly string[] = sanitizerSymbols): string[] {
    const binary = readFileSync(this.binary);
    return symbols.filter((symbol) => !binary.includes(symbol));
  }
}
