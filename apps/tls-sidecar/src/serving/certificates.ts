import { Logger } from '@nestjs/common';
import type { Hsm } from '@nest-hsm/hsm';
import {
  CaCredentialSource,
  type Credential,
  CredentialKeeper,
  type CredentialSource,
  FileCredentialSource,
  type ServedCredentials,
} from '@nest-hsm/tls-offload';
import type { CertificateConfig, ListenerConfig } from '../config.js';

interface Entry {
  readonly config: CertificateConfig;
  readonly keeper: CredentialKeeper;
}

export interface CertificateStatus {
  readonly notAfter: Date;
  readonly failures: number;
  /** Why it is not renewed, or the file not taken; absent while all is well. */
  readonly failing?: { readonly since: Date; readonly code: string; readonly message: string };
}

/** The certificates of one configuration, each kept fresh. Those that another configuration has too are the same in both. */
export class Certificates {
  static readonly none = new Certificates(new Map());

  private constructor(private readonly entries: ReadonlyMap<string, Entry>) {}

  /**
   * @param patience  `once`: whatever fails, fails; `wait`: for an issuer or a token that is away
   * @param replaced  called when something newer is to be served
   * @throws why one of them is not to be had; those that were begun are stopped then
   */
  async next(
    configs: readonly CertificateConfig[],
    hsm: Hsm,
    { patience, signal, replaced }: { patience: 'once' | 'wait'; signal: AbortSignal; replaced: () => void },
  ): Promise<Certificates> {
    const kept = new Map([...this.entries.values()].map((entry) => [identityOf(entry.config), entry.keeper]));
    const starts = configs.map(async (config): Promise<[string, Entry]> => {
      const keeper = kept.get(identityOf(config)) ?? (await start(config, hsm, patience, signal, replaced));
      return [config.name, { config, keeper }];
    });
    const outcomes = await Promise.allSettled(starts);
    const next = new Certificates(
      new Map(outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))),
    );
    const refused = outcomes.find((each) => each.status === 'rejected');
    if (refused === undefined) return next;
    await next.stopUnless(this);
    throw refused.reason;
  }

  /** Stops those that the other configuration has not. */
  async stopUnless(other: Certificates): Promise<void> {
    const used = new Set([...other.entries.values()].map(({ keeper }) => keeper));
    const unused = [...this.entries.values()].filter(({ keeper }) => !used.has(keeper));
    await Promise.all(unused.map(({ keeper }) => keeper.stop()));
  }

  /** Has those that wait for their next look make it now. */
  async check(): Promise<void> {
    await Promise.all([...this.entries.values()].map(({ keeper }) => keeper.check()));
  }

  servedBy({ certificates = [...this.entries.keys()] }: ListenerConfig): ServedCredentials {
    const credentials: Credential[] = [];
    const serverNames: Record<string, Credential[]> = {};
    for (const name of certificates) {
      const { config, keeper } = this.entries.get(name) as Entry;
      if (config.serverNames.length === 0) credentials.push(keeper.current);
      for (const serverName of config.serverNames) (serverNames[serverName] ??= []).push(keeper.current);
    }
    return { credentials, serverNames };
  }

  get status(): Readonly<Record<string, CertificateStatus>> {
    return Object.fromEntries(
      [...this.entries].map(([name, { keeper }]) => [name, { notAfter: keeper.current.notAfter, ...keeper.status }]),
    );
  }
}

/** Its names are the listeners' matter. */
function identityOf({ name: _, serverNames: __, ...source }: CertificateConfig): string {
  return JSON.stringify(source);
}

async function start(
  config: CertificateConfig,
  hsm: Hsm,
  patience: 'once' | 'wait',
  signal: AbortSignal,
  replaced: () => void,
): Promise<CredentialKeeper> {
  const logger = new Logger('certificate');
  const first = new AbortController();
  const observer = {
    failed: (error: Error, milliseconds: number): void => {
      const { code = error.name } = error as { code?: string };
      logger.warn(`${config.name}: ${code}: ${error.message}; trying again in ${milliseconds} ms`);
      if (patience === 'once') first.abort(error);
    },
    replaced: ({ notAfter, key }: Credential): void => {
      logger.log(
        `${config.name}: replaced, serves until ${notAfter.toISOString()} with version ${key.version} of its key`,
      );
      replaced();
    },
  };
  try {
    return await CredentialKeeper.start(sourceOf(config, hsm), observer, AbortSignal.any([signal, first.signal]));
  } catch (error) {
    throw first.signal.aborted ? first.signal.reason : error;
  }
}

function sourceOf({ ca, file }: CertificateConfig, hsm: Hsm): CredentialSource {
  if (file !== undefined) return new FileCredentialSource(hsm, file);
  if (ca !== undefined) return new CaCredentialSource(hsm, ca);
  throw new TypeError('certificate: want ca or file, as the configuration has been checked');
}
