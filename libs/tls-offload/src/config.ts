import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { TlsOffloadError } from './errors.js';
import { negotiationShape } from './negotiation.js';
import { isAddressRange } from './peer-address.js';
import { isListedName } from './server-name.js';

const wholeLine = z.string().min(1).max(1_024);
/** A certificate that has one of these names is let in. */
const allowedClientSchema = z.union([
  /** A DNS name among the subject alternative names; `*.` in front stands for one label. */
  z.strictObject({ dnsName: wholeLine }),
  /** A mailbox, or `@example.org` for all of a domain. */
  z.strictObject({ email: wholeLine.regex(/@/, 'want a mailbox, or @ and a domain') }),
  /** A URI, or one that ends in `/*` for all below. */
  z.strictObject({ uri: wholeLine }),
  /** The same for the one URI of a SPIFFE X.509-SVID. */
  z.strictObject({ spiffeId: wholeLine.regex(/^spiffe:\/\/[a-z0-9._-]+\/./, 'want spiffe://trust-domain/path') }),
  /** The whole subject as `openssl x509 -noout -subject -nameopt RFC2253` writes it. */
  z.strictObject({ subject: wholeLine }),
]);

/** Whose certificates are believed. */
export const authoritiesShape = {
  /** PEM: roots, and intermediates that peers leave out. Read again when it changes. */
  caFile: z.string().min(1).optional(),
  /** PEM or DER. With one or more, every certificate of a peer's chain needs a CRL in force. Read again when they change. */
  crlFiles: z.array(z.string().min(1)).max(64).default([]),
  /** Between the peer's certificate and the root. */
  maximumIntermediates: z.int().min(0).max(10).default(4),
  /** What a peer may send as its chain. */
  maximumChainBytes: z.int().min(4_096).max(131_072).default(32_768),
  /** How often the files are looked at. */
  reloadIntervalMilliseconds: z.int().min(50).max(3_600_000).default(5_000),
};

export const clientCertificateConfigSchema = z
  .strictObject({
    /** `optional`: a client may show none, and one that shows one must be right. */
    mode: z.enum(['none', 'optional', 'required']).default('none'),
    ...authoritiesShape,
    /** Empty: every client that the authorities certify. */
    allow: z.array(allowedClientSchema).max(10_000).default([]),
  })
  .refine(({ mode, caFile }) => mode === 'none' || caFile !== undefined, {
    message: 'want the authorities that certify clients, got none',
    path: ['caFile'],
  });
export type ClientCertificateConfig = z.input<typeof clientCertificateConfigSchema>;
export type ParsedClientCertificateConfig = Readonly<z.output<typeof clientCertificateConfigSchema>>;

/** A name that no client can say would be a rule, or a certificate, that is never met. */
export const serverNameSchema = z.string().refine(isListedName, 'want a host name, or *. and one');

export const terminatorConfigSchema = z.strictObject({
  /** Offered through ALPN in order of preference (RFC 7301); a client that shares none is refused. Empty: no ALPN. */
  alpnProtocols: z.array(z.string().min(1).max(255)).default(['http/1.1']),
  ...negotiationShape,
  /**
   * For a server name that neither `serverNames` nor a default certificate has: the default certificate all the same, or the
   * alert unrecognized_name (RFC 6066 §3). A client that names no server always gets the default.
   */
  unknownServerNames: z.enum(['default', 'refuse']).default('default'),
  /** What is asked of clients, for names that are not in `clientCertificatesByName`. */
  clientCertificates: clientCertificateConfigSchema.prefault({}),
  /** By server name; `*.example.org` stands for one label. */
  clientCertificatesByName: z.record(serverNameSchema, clientCertificateConfigSchema).default({}),
  /** Fetches OCSP responses from the responders that the certificates name, and sends them along (RFC 6066 §8). */
  ocspStapling: z.boolean().default(false),
  /** Of one address, or one /64 of IPv6. Connections beyond them are closed before TLS begins. */
  sourceLimits: z
    .strictObject({
      /**
       * Handshakes under way, those included whose clients left while a token was at work for them. Half of what may wait for a
       * key by default: one source never takes all of it.
       */
      handshakesAtOnce: z.int().min(1).max(65_536).default(128),
      /** Absent: as many as there are. */
      handshakesPerSecond: z.number().positive().max(1_000_000).optional(),
      /** What a source that was quiet may begin at once, where `handshakesPerSecond` is set. */
      burst: z.int().min(1).max(1_000_000).default(64),
      trackedSources: z.int().min(16).max(1_000_000).default(16_384),
    })
    .prefault({}),
  /** From the TCP connection to the end of the handshake, the HSM's signature included. */
  handshakeTimeoutMilliseconds: z.int().min(100).max(120_000).default(10_000),
  /** Handshakes waiting for one key beyond which a handshake is ended with an alert. */
  pendingSignatureLimit: z.int().min(1).max(65_536).default(256),
});

/** What an application writes. */
export type TerminatorConfig = z.input<typeof terminatorConfigSchema>;
export type ParsedTerminatorConfig = Readonly<z.output<typeof terminatorConfigSchema>>;

/** Who says by the PROXY protocol (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt) whom it speaks for. */
export const proxyHeaderConfigSchema = z.strictObject({
  /** Load balancers, as addresses or ranges (CIDR), whose connections have to begin with a header. Nobody else's may. */
  trustedPeers: z
    .array(z.string().refine(isAddressRange, 'want an address or a range in CIDR notation'))
    .max(1_024)
    .default([]),
  headerTimeoutMilliseconds: z.int().min(1).default(3_000),
});
export type ProxyHeaderConfig = z.input<typeof proxyHeaderConfigSchema>;
export type ParsedProxyHeaderConfig = Readonly<z.output<typeof proxyHeaderConfigSchema>>;

const proxyProtocolConfigSchema = proxyHeaderConfigSchema.extend({
  /** Tells the upstream who its client is; `v2` also what TLS negotiated. Absent: nothing is told. */
  send: z.enum(['v1', 'v2']).optional(),
});

export const l4ProxyConfigSchema = z.strictObject({
  upstream: z.strictObject({ host: z.string().min(1), port: z.int().min(1).max(65_535) }),
  connectTimeoutMilliseconds: z.int().min(1).default(5_000),
  /** Ends a connection on which no byte has moved either way for this long. */
  idleTimeoutMilliseconds: z.int().min(1).default(300_000),
  /** Ends a connection so long after it was made, whatever moves on it; absent: never. */
  lifetimeMilliseconds: z.int().min(1).optional(),
  /** Connections, handshakes included, beyond which a client is turned away. */
  connectionLimit: z.int().min(1).default(4_096),
  /** The same for one client address, or one /64 of IPv6; absent: none may be turned away for that. */
  connectionLimitPerSource: z.int().min(1).optional(),
  proxyProtocol: proxyProtocolConfigSchema.prefault({}),
});
export type L4ProxyConfig = z.input<typeof l4ProxyConfigSchema>;
export type ParsedL4ProxyConfig = Readonly<z.output<typeof l4ProxyConfigSchema>>;

export const caCredentialConfigSchema = z
  .strictObject({
    /** Base URL of a nest-hsm CA; `/v1/certificates` is appended. */
    url: z.url({ protocol: /^https?$/ }),
    /** Holds the bearer token, read at each request. */
    tokenFile: z.string().min(1),
    /** Roots (PEM) for an https URL; absent: those of Node.js. */
    trustFile: z.string().min(1).optional(),
    /** Allows http to another host. The token and the issued certificate then cross the network unprotected. */
    unprotectedHttp: z.boolean().default(false),
    profile: z.string().min(1).default('tls-server'),
    dnsNames: z.array(z.string().min(1).max(253)).default([]),
    ipAddresses: z.array(z.union([z.ipv4(), z.ipv6()])).default([]),
    /** Found on the token, or generated there. */
    keyLabel: z.string().min(1).max(64),
    keyAlgorithm: z
      .enum(['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048', 'rsa-3072', 'rsa-4096', 'ed25519'])
      .default('ec-p256'),
    /**
     * Keeps the chain (PEM), so that a restart uses it again. Processes that name the same file share it: one renews for all.
     * Beside it comes a file to lock, `.lock`.
     */
    certificateFile: z.string().min(1),
    /** Has each renewal rotate the key (`Hsm.rotateKey`). Else the certificate is renewed for the newest version there is. */
    renewKey: z.boolean().default(false),
    /**
     * How long after a renewal the versions of the key before the one that serves are destroyed. Only for a key that nobody but
     * this host's sidecars use. Absent: they are kept.
     */
    destroyReplacedKeysAfterSeconds: z.int().min(300).max(31_536_000).optional(),
    requestTimeoutMilliseconds: z.int().min(100).default(15_000),
  })
  .refine(({ dnsNames, ipAddresses }) => dnsNames.length + ipAddresses.length > 0, {
    message: 'want at least one name, got none',
    path: ['dnsNames'],
  })
  .refine(({ url, unprotectedHttp }) => unprotectedHttp || isProtected(url), {
    message: 'want https, or http to this host, got http to another (unprotectedHttp: true allows it)',
    path: ['url'],
  });
export type CaCredentialConfig = z.input<typeof caCredentialConfigSchema>;
export type ParsedCaCredentialConfig = Readonly<z.output<typeof caCredentialConfigSchema>>;

function isProtected(url: string): boolean {
  // An invalid URL is its own fault, listed beside this one.
  if (!URL.canParse(url)) return true;
  const { protocol, hostname } = new URL(url);
  const loopback = ['localhost', '[::1]'].includes(hostname) || (isIPv4(hostname) && hostname.startsWith('127.'));
  return protocol === 'https:' || loopback;
}

/** Of session tickets (RFC 8446 §4.6.1). */
export const sessionLifetimesSchema = z.strictObject({
  /** How long a client may come back with a ticket. */
  lifetimeSeconds: z.int().min(10).max(14_400).default(14_400),
  /** How long after its full handshake a client may do without another, however often its ticket was renewed in between. */
  sessionSeconds: z.int().min(1).max(604_800).default(43_200),
});

export const sessionTicketConfigSchema = sessionLifetimesSchema.extend({
  /** An AES-256 key that wraps those of tickets: found on the token, or generated there. All replicas have the same. */
  keyLabel: z.string().min(1).max(64),
  /** Holds the wrapped keys, for all replicas. */
  directory: z.string().min(1),
});
export type SessionTicketConfig = z.input<typeof sessionTicketConfigSchema>;
export type ParsedSessionTicketConfig = Readonly<z.output<typeof sessionTicketConfigSchema>>;

export const fileCredentialConfigSchema = z.strictObject({
  /** The chain in PEM, leaf first. */
  certificateFile: z.string().min(1),
  keyLabel: z.string().min(1).max(64),
});
export type FileCredentialConfig = z.input<typeof fileCredentialConfigSchema>;

/**
 * Parses a configuration once, at boot.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID listing all faults together
 */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  what: string,
  config: z.input<Schema>,
): Readonly<z.output<Schema>> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', `${what}:\n${z.prettifyError(parsed.error)}`);
}
