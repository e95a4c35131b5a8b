import { Logger } from '@nestjs/common';
import type { Hsm } from '@nest-hsm/hsm';
import {
  CaCredentialSource,
  type Credential,
  CredentialKeeper,
  type CredentialPurpose,
  type CredentialSource,
  FileCredentialSource,
} from '@nest-hsm/tls-offload';
import {
  type CertificateConfig,
  type Config,
  type ListenerConfig,
  servedCertificates,
  shownCertificates,
} from '../config.js';
import type { LaneCredentials } from './lane.js';

type CertificatesConfig = Pick<Config, 'listeners' | 'certificates'>;

interface Entry {
  readonly config: CertificateConfig;
  readonly purposes: readonly CredentialPurpose[];
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
  static readonly none = new Certificates({ listeners: [], certificates: [] }, new Map());

  private constructor(
    private readonly config: CertificatesConfig,
    private readonly entries: ReadonlyMap<string, Entry>,
  ) {}

  /**
   * @param patience  `once`: whatever fails, fails; `wait`: for an issuer or a token that is away
   * @param replaced  called when something newer is to be served or shown
   * @throws why one of them is not to be had; those that were begun are stopped then
   */
  async next(
    config: CertificatesConfig,
    hsm: Hsm,
    { patience, signal, replaced }: { patience: 'once' | 'wait'; signal: AbortSignal; replaced: Replaced },
  ): Promise<Certificates> {
    const kept = new Map([...this.entries.values()].map((entry) => [identityOf(entry), entry.keeper]));
    const starts = config.certificates.map(async (each): Promise<[string, Entry]> => {
      const wanted = { config: each, purposes: purposesOf(each, config) };
      const keeper = kept.get(identityOf(wanted)) ?? (await start(wanted, hsm, patience, signal, replaced));
      return [each.name, { ...wanted, keeper }];
    });
    const outcomes = await Promise.allSettled(starts);
    const next = new Certificates(
      config,
      new Map(outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))),
    );
    const refused = outcomes.find((each) => each.status === 'rejected');
    if (refused === undefined) return next;
    await next.stopUnless(this);
    throw refused.reason;
  }

  /**
   * Stops those that the other configuration has not.
   * @param left  when nobody is left that shows one of them to upstreams: until then these are kept fresh
   */
  async stopUnless(other: Certificates, left?: Promise<unknown>): Promise<void> {
    const used = new Set([...other.entries.values()].map(({ keeper }) => keeper));
    const unused = [...this.entries.values()].filter(({ keeper }) => !used.has(keeper));
    const stop = async (entries: readonly Entry[]): Promise<void> => {
      await Promise.all(entries.map(({ keeper }) => keeper.stop()));
    };
    const shown = left === undefined ? [] : unused.filter(({ purposes }) => purposes.includes('client'));
    void left?.then(() => stop(shown));
    await stop(unused.filter((each) => !shown.includes(each)));
  }

  /** Has those that wait for their next look make it now. */
  async check(): Promise<void> {
    await Promise.all([...this.entries.values()].map(({ keeper }) => keeper.check()));
  }

  /** What a listener serves, and shows to its upstreams. */
  of(listener: ListenerConfig): LaneCredentials {
    const credentials: Credential[] = [];
    const serverNames: Record<string, Credential[]> = {};
    for (const name of servedCertificates(listener, this.config)) {
      const { config, keeper } = this.entries.get(name) as Entry;
      if (config.serverNames.length === 0) credentials.push(keeper.current);
      for (const serverName of config.serverNames) (serverNames[serverName] ??= []).push(keeper.current);
    }
    const shown = shownCertificates(listener).map((name) => (this.entries.get(name) as Entry).keeper.current);
    return { served: { credentials, serverNames }, shown };
  }

  get status(): Readonly<Record<string, CertificateStatus>> {
    return Object.fromEntries(
      [...this.entries].map(([name, { keeper }]) => [name, { notAfter: keeper.current.notAfter, ...keeper.status }]),
    );
  }
}

type Replaced = (credential: Credential, before: Credential) => void;
type Wanted = Omit<Entry, 'keeper'>;

/** Its names are the listeners' matter. What it is for is not: it has been proven as that. */
function identityOf({ config: { name: _, serverNames: __, ...source }, purposes }: Wanted): string {
  return JSON.stringify([source, purposes]);
}

function purposesOf({ name }: CertificateConfig, config: CertificatesConfig): readonly CredentialPurpose[] {
  const isServed = config.listeners.some((listener) => servedCertificates(listener, config).includes(name));
  const isShown = config.listeners.some((listener) => shownCertificates(listener).includes(name));
  return [...(isServed ? (['server'] as const) : []), ...(isShown ? (['client'] as const) : [])];
}

async function start(
  wanted: Wanted,
  hsm: Hsm,
  patience: 'once' | 'wait',
  signal: AbortSignal,
  replaced: Replaced,
): Promise<CredentialKeeper> {
  const { config } = wanted;
  const logger = new Logger('certificate');
  const first = new AbortController();
  const observer = {
    failed: (error: Error, milliseconds: number): void => {
      const { code = error.name } = error as { code?: string };
      logger.warn(`${config.name}: ${code}: ${error.message}; trying again in ${milliseconds} ms`);
      if (patience === 'once') first.abort(error);
    },
    replaced: (credential: Credential, before: Credential): void => {
      const { notAfter, key } = credential;
      logger.log(
        `${config.name}: replaced, serves until ${notAfter.toISOString()} with version ${key.version} of its key`,
      );
      replaced(credential, before);
    },
  };
  try {
    return await CredentialKeeper.start(sourceOf(wanted, hsm), observer, AbortSignal.any([signal, first.signal]));
  } catch (error) {
    throw first.signal.aborted ? first.signal.reason : error;
  }
}

function sourceOf({ config: { ca, file }, purposes }: Wanted, hsm: Hsm): CredentialSource {
  if (file !== undefined) return new FileCredentialSource(hsm, file, purposes);
  if (ca !== undefined) return new CaCredentialSource(hsm, ca, purposes);
  throw new TypeError('certificate: want ca or file, as the configuration has been checked');
}
