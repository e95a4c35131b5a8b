import { changedSettings, ConfigurationFaults, ConfigurationFile, hsmConfigSchema } from '@nest-hsm/hsm';
import {
  caCredentialConfigSchema,
  fileCredentialConfigSchema,
  l4ProxyConfigSchema,
  l7ProxyConfigSchema,
  serverNameSchema,
  sessionTicketConfigSchema,
  terminatorConfigSchema,
} from '@nest-hsm/tls-offload';
import { z } from 'zod';
import { SidecarError } from './faults.js';

const addressSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  /** 0: any free one, which the log then names. */
  port: z.int().min(0).max(65_535),
});

const listenSchema = z.union([
  addressSchema,
  /** A socket that the service manager opened: its name (`FileDescriptorName=`), or its number from 0. */
  z.strictObject({ activated: z.string().min(1) }),
]);
export type ListenConfig = z.output<typeof listenSchema>;

const { upstreamTls } = l7ProxyConfigSchema.shape;
const l7Schema = l7ProxyConfigSchema.extend({
  upstreamTls: upstreamTls
    .unwrap()
    .extend({
      /** Shown to upstreams that ask for one, by name: one for each kind of key, of which an upstream meets what it can verify. */
      certificates: z.array(z.string().min(1)).default([]),
    })
    .prefault({}),
});

/** A field that somebody may expect here, and what does it instead. */
const elsewhere = (why: string): z.ZodOptional<z.ZodNever> => z.never(why).optional();

const l4Schema = l4ProxyConfigSchema.extend({
  upstreamTls: elsewhere('want none: l4 speaks to its upstream without TLS, l7 with it (upstreams with https URLs)'),
});

const listenerSchema = z.preprocess(
  offerHttp2,
  z
    .strictObject({
      /** In metrics and logs; the address unless told. */
      name: z.string().min(1).max(64).optional(),
      listen: listenSchema,
      /** Which certificates it serves, by name; absent: all but those that upstreams are shown. */
      certificates: z.array(z.string().min(1)).min(1).optional(),
      tls: terminatorConfigSchema.prefault({}),
      /** Forwards what is inside TLS as it is. */
      l4: l4Schema.optional(),
      /** Forwards requests of HTTP/1.1 and HTTP/2. */
      l7: l7Schema.optional(),
    })
    .refine(({ l4, l7 }) => (l4 === undefined) !== (l7 === undefined), { message: 'want one of l4 and l7' })
    .superRefine(({ tls, l4, l7 }, context) => {
      if (Object.keys(tls.clientCertificatesByName).length === 0) return;
      const fault = (path: string[], message: string): void =>
        context.addIssue({ code: 'custom', path, message, input: undefined });
      if (l4 !== undefined) {
        const got = 'since all server names lead to one upstream, got rules by name';
        fault(['tls', 'clientCertificatesByName'], `want clientCertificates alone with l4, ${got}`);
      }
      if (l7?.requireMatchingHost === false) {
        const why = 'else a Host would borrow the rules of another name';
        fault(['l7', 'requireMatchingHost'], `want true with clientCertificatesByName, ${why}`);
      }
    })
    .transform((listener) => ({ ...listener, name: listener.name ?? addressOf(listener.listen) })),
);
export type ListenerConfig = Readonly<z.output<typeof listenerSchema>>;

const certificateSchema = z
  .strictObject({
    /** What listeners call it; the label of its key unless told. */
    name: z.string().min(1).max(64).optional(),
    /** Served to clients that name one of these servers; `*.example.org` stands for one label. Empty: to all others. */
    serverNames: z.array(serverNameSchema).default([]),
    ca: caCredentialConfigSchema.optional(),
    file: fileCredentialConfigSchema.optional(),
  })
  .refine(({ ca, file }) => (ca === undefined) !== (file === undefined), { message: 'want one of ca and file' })
  .transform((each) => ({ ...each, name: each.name ?? each.ca?.keyLabel ?? each.file?.keyLabel ?? '' }));
export type CertificateConfig = Readonly<z.output<typeof certificateSchema>>;

export const configSchema = z
  .strictObject({
    /** The token that holds the private keys. */
    hsm: hsmConfigSchema,
    /** Where clients connect with TLS, and where what they say goes. */
    listeners: z.array(listenerSchema).min(1).max(64),
    certificates: z.array(certificateSchema).min(1).max(256),
    /** Has clients of TLS 1.3 come back without a signature; absent: each handshake is a full one. */
    sessionTickets: sessionTicketConfigSchema.optional(),
    /** /health, /ready and /metrics, in plain HTTP. */
    admin: addressSchema,
    /** A Unix socket (0600) that takes `GET /status`, `POST /reload` and `POST /drain`. */
    adminSocket: z.string().min(1).max(100).optional(),
    /** Processes that share the listeners. With more than one, give the HSM's members as sockets of one `nest-hsm agent`. */
    workers: z.int().min(1).max(64).default(1),
    /** How long connections may go on after SIGTERM. */
    drainSeconds: z.int().min(0).max(86_400).default(30),
    /** One line for each connection (L4) or request (L7), of this share of them; absent: none. */
    accessLog: z.strictObject({ sample: z.number().min(0).max(1).default(1) }).optional(),
    logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  })
  .superRefine(({ listeners, certificates, sessionTickets }, context) => {
    const fault = (path: PropertyKey[], message: string): void =>
      context.addIssue({ code: 'custom', path, message, input: undefined });
    twice(listeners.map(({ name }) => name)).forEach((index) =>
      fault(['listeners', index], 'want a name and address of its own, got that of another'),
    );
    twice(listeners.map(({ listen }, index) => addressOf(listen, `#${index}`))).forEach((index) =>
      fault(['listeners', index, 'listen'], 'want an address of its own, got that of another'),
    );
    twice(certificates.map(({ name }) => name)).forEach((index) =>
      fault(['certificates', index], 'want a name, or a key, of its own, got that of another'),
    );
    twice(certificates.map(({ ca }, index) => ca?.certificateFile ?? `#${index}`)).forEach((index) =>
      fault(['certificates', index, 'ca', 'certificateFile'], 'want a file of its own, got that of another'),
    );
    const ticketKey = sessionTickets?.keyLabel;
    if (ticketKey !== undefined && certificates.some(({ ca, file }) => (ca ?? file)?.keyLabel === ticketKey)) {
      fault(['sessionTickets', 'keyLabel'], "want a key of its own, got the label of a certificate's");
    }
    const known = new Map(certificates.map((each) => [each.name, each]));
    listeners.forEach((listener, index) => {
      const served = servedCertificates(listener, { listeners, certificates });
      served.forEach((name, place) => {
        if (!known.has(name)) fault(['listeners', index, 'certificates', place], 'want the name of a certificate');
      });
      const shown = shownCertificates(listener);
      shown.forEach((name, place) => {
        if (known.has(name)) return;
        fault(['listeners', index, 'l7', 'upstreamTls', 'certificates', place], 'want the name of a certificate');
      });
      listener.l7?.upstreams.forEach(({ url }, place) => {
        if (shown.length === 0 || !URL.canParse(url) || new URL(url).protocol === 'https:') return;
        const message = 'want https, since upstreams are shown a certificate, got http';
        fault(['listeners', index, 'l7', 'upstreams', place, 'url'], message);
      });
      if (served.every((name) => known.get(name)?.serverNames.length !== 0)) {
        fault(['listeners', index], 'want a certificate without serverNames, for clients that name no server');
      }
    });
    // It would be served no more, and nobody would be told.
    certificates.forEach(({ name, serverNames }, index) => {
      if (serverNames.length === 0 || !listeners.some((each) => shownCertificates(each).includes(name))) return;
      if (listeners.some((listener) => listener.certificates?.includes(name) === true)) return;
      const message = 'want a listener that lists this certificate, since upstreams are shown it, got none';
      fault(['certificates', index, 'serverNames'], message);
    });
  });
export type Config = Readonly<z.output<typeof configSchema>>;

/**
 * Reads the YAML file: at boot, and for a reload.
 * @throws {SidecarError} ERR_SIDECAR_CONFIG listing all faults together, each with its place in the file
 */
export function readConfig(file: string): Config {
  try {
    return Object.freeze(ConfigurationFile.read(file).check(configSchema));
  } catch (cause) {
    if (!(cause instanceof ConfigurationFaults)) throw cause;
    throw new SidecarError('ERR_SIDECAR_CONFIG', cause.message, { cause });
  }
}

/** What changes while clients are served; all else waits for a restart. */
const reloadable = /^(hsm\.members|listeners|certificates|sessionTickets|accessLog|drainSeconds)/;

/** Paths of settings that are wanted otherwise than the process was started with, and that no reload changes. */
export function settingsAwaitingRestart(started: Config, wanted: Config): readonly string[] {
  return changedSettings(started, wanted).filter((path) => !reloadable.test(path));
}

/** Names of the certificates that clients of a listener meet. */
export function servedCertificates(
  { certificates }: Pick<ListenerConfig, 'certificates'>,
  all: Pick<Config, 'listeners' | 'certificates'>,
): readonly string[] {
  if (certificates !== undefined) return certificates;
  const shown = new Set(all.listeners.flatMap(shownCertificates));
  return all.certificates.map(({ name }) => name).filter((name) => !shown.has(name));
}

/** Names of the certificates that a listener's upstreams meet. */
export function shownCertificates({ l7 }: ListenerConfig): readonly string[] {
  return l7?.upstreamTls.certificates ?? [];
}

/** How an address is told from others. @param anyPort  in the place of port 0, of which each is another */
export function addressOf(listen: ListenConfig, anyPort = '0'): string {
  if ('activated' in listen) return listen.activated;
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return `${host}:${listen.port === 0 ? anyPort : listen.port}`;
}

/** A proxy of requests speaks HTTP/2 with clients unless it is told what to speak. */
function offerHttp2(listener: unknown): unknown {
  if (typeof listener !== 'object' || listener === null || !('l7' in listener)) return listener;
  const { tls = {} } = listener as { tls?: unknown };
  if (typeof tls !== 'object' || tls === null || 'alpnProtocols' in tls) return listener;
  return { ...listener, tls: { ...tls, alpnProtocols: ['h2', 'http/1.1'] } };
}

/** Indices of values that came before. */
function twice(values: readonly string[]): number[] {
  return values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));
}
