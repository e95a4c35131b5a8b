import { isDeepStrictEqual } from 'node:util';
import { type FactoryProvider, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { ParsedHsmConfig } from '../config.js';
import type { Hsm } from '../hsm.js';
import { hsmToken } from './hsm.tokens.js';

/** All that an application's configuration says; `hsm` is what its HsmModule was given. */
export interface ReloadableConfig {
  readonly hsm: ParsedHsmConfig;
}

/** What came of reading the configuration again. */
export interface Reloaded {
  /** The members from now on. */
  readonly members: readonly string[];
  /** Settings that have changed and take effect with the next start, e.g. `listen.port`. */
  readonly awaitingRestart: readonly string[];
}

/**
 * Reads the configuration of an application again, on SIGHUP or when asked, and makes its members the fleet's; no call fails
 * for it. When the configuration has a fault, or none of its members can be reached, everything stays as it was.
 *
 * Nest ends an application on SIGHUP unless `enableShutdownHooks` is given the signals that shall: `shutdownSignals`.
 */
export class HsmReload implements OnApplicationShutdown {
  readonly #logger = new Logger(HsmReload.name);
  readonly #onSignal = (): void => void this.reload().catch((error: unknown) => this.#complain(error));
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly hsm: Hsm,
    /** What the application was started with. */
    private readonly running: ReloadableConfig,
    private readonly read: () => ReloadableConfig,
  ) {
    // At once: an application that waits for its HSM must not end of a signal that may bring another one.
    process.on('SIGHUP', this.#onSignal);
  }

  onApplicationShutdown(): void {
    process.off('SIGHUP', this.#onSignal);
  }

  /**
   * One reload after the other.
   * @throws what `read` throws, and {HsmError} why none of the members could be reached; nothing is changed then
   */
  reload(): Promise<Reloaded> {
    const reloading = this.#reloading.then(() => this.#reload());
    this.#reloading = reloading.catch(() => undefined);
    return reloading;
  }

  async #reload(): Promise<Reloaded> {
    const wanted = this.read();
    const awaitingRestart = changedSettings(this.running, wanted).filter((path) => path !== 'hsm.members');
    await this.hsm.setMembers(wanted.hsm.members);
    const members = this.hsm.members.map(({ name }) => name);
    this.#logger.log(`configuration read again: the members are ${members.join(', ')}`);
    if (awaitingRestart.length > 0) {
      this.#logger.warn(`changed, and waiting for a restart: ${awaitingRestart.join(', ')}`);
    }
    return { members, awaitingRestart };
  }

  #complain(error: unknown): void {
    this.#logger.error(`configuration not reloaded, everything stays as it was: ${(error as Error).message}`);
  }
}

/** The signals that end an application which is reloaded by another. */
export const shutdownSignals = ['SIGINT', 'SIGTERM'];

/**
 * Provides an HsmReload for the Hsm that `HsmModule.forRoot(config.hsm)` opened.
 * @param read  reads the whole configuration again; throws when it has a fault
 */
export function provideHsmReload(config: ReloadableConfig, read: () => ReloadableConfig): FactoryProvider<HsmReload> {
  return {
    provide: HsmReload,
    useFactory: (hsm: Hsm) => new HsmReload(hsm, config, read),
    inject: [hsmToken(config.hsm.name)],
  };
}

/** @returns the paths of the settings in which two configurations differ; a list is one setting */
export function changedSettings(running: object, wanted: object, prefix = ''): string[] {
  const names = new Set([...Object.keys(running), ...Object.keys(wanted)]);
  return [...names].flatMap((name) => {
    const [before, after] = [running, wanted].map((each) => (each as Record<string, unknown>)[name]);
    if (isDeepStrictEqual(before, after)) return [];
    const path = `${prefix}${name}`;
    return isSection(before) && isSection(after) ? changedSettings(before, after, `${path}.`) : [path];
  });
}

function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
