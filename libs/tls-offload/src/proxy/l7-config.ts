import { z } from 'zod';
import { proxyHeaderConfigSchema } from '../config.js';
import { connectorConfigSchema } from '../connector/connector-config.js';
import { isAddressRange } from '../peer-address.js';
import { isServerName } from '../server-name.js';

const milliseconds = (fallback: number): z.ZodDefault<z.ZodNumber> => z.int().min(1).max(86_400_000).default(fallback);

const upstreamSchema = z.strictObject({
  /** Scheme, host and port, e.g. `http://127.0.0.1:3000`. */
  url: z.url({ protocol: /^https?$/ }).refine(isOrigin, 'want scheme, host and port alone'),
  /** Requests under way beyond which another upstream is taken, or the client is told to come back. */
  requestLimit: z.int().min(1).max(65_536).default(1_024),
});

/** How upstreams with an https URL are met. */
const upstreamTlsSchema = connectorConfigSchema
  .omit({ alpnProtocols: true, handshakeTimeoutMilliseconds: true })
  .extend({
    /** What the upstream's certificate has to name; absent: the URL's host. */
    serverName: z.string().refine(isServerName, 'want a host name or an address').optional(),
  });

const healthCheckSchema = z.strictObject({
  /** Asked by GET; sound is an answer below 400. */
  path: z.string().regex(/^\/[\x21-\x7e]*$/, 'want a path'),
  intervalMilliseconds: milliseconds(5_000),
  timeoutMilliseconds: milliseconds(2_000),
  /** Checks in a row that change the mind. */
  healthyAfter: z.int().min(1).max(100).default(1),
  unhealthyAfter: z.int().min(1).max(100).default(2),
});
export type HealthCheckConfig = Readonly<z.output<typeof healthCheckSchema>>;

export const l7ProxyConfigSchema = z.strictObject({
  upstreams: z.array(upstreamSchema).min(1).max(64),
  upstreamTls: upstreamTlsSchema.prefault({}),
  /** Asks every upstream, used or not; absent: an upstream is known by what requests meet. */
  healthCheck: healthCheckSchema.optional(),
  /** Requests that fail in a row before an upstream is left alone for a while, as long as there is another. */
  ejectAfter: z.int().min(1).max(1_000).default(3),
  ejectMilliseconds: milliseconds(10_000),
  /** Peers, as addresses or ranges (CIDR), whose Forwarded, X-Forwarded-* and Client-Cert* are believed and passed on. */
  trustedPeers: z.array(z.string().refine(isAddressRange, 'want an address or a range in CIDR notation')).default([]),
  /** Load balancers in front that hand on TCP connections, and say by the PROXY protocol whose. */
  proxyProtocol: proxyHeaderConfigSchema.prefault({}),
  /**
   * Refuses (421) a Host that is not the server name of the handshake, whose certificate and client policy it would borrow; a client
   * that named no server may ask for an address only.
   */
  requireMatchingHost: z.boolean().default(true),
  /** With an https URL for the handshake too, the HSM's signature included, and 120 s at most. */
  connectTimeoutMilliseconds: milliseconds(5_000),
  /** From the end of a request, or of what has come of it, to the head of its answer. */
  responseTimeoutMilliseconds: milliseconds(60_000),
  /** Ends an answer or a WebSocket on which no byte has moved either way for this long. */
  idleTimeoutMilliseconds: milliseconds(120_000),
  /** For the head of a request, and for the whole of it. */
  headTimeoutMilliseconds: milliseconds(15_000),
  requestTimeoutMilliseconds: milliseconds(300_000),
  /** How long a connection waits for its next request: of a client, and to an upstream (which has to wait longer). */
  clientKeepAliveMilliseconds: milliseconds(60_000),
  upstreamKeepAliveMilliseconds: milliseconds(4_000),
  headLimitBytes: z.int().min(1_024).max(1_048_576).default(16_384),
  bodyLimitBytes: z.int().min(0).default(104_857_600),
  /** Connections, handshakes included, beyond which a client is turned away. */
  connectionLimit: z.int().min(1).default(4_096),
  /** HTTP/2 streams of one connection at a time, and requests of HTTP/1.1 that it may have waiting: one more ends it. */
  streamLimit: z.int().min(1).max(10_000).default(128),
});

/** What an application writes. */
export type L7ProxyConfig = z.input<typeof l7ProxyConfigSchema>;
export type ParsedL7ProxyConfig = Readonly<z.output<typeof l7ProxyConfigSchema>>;
export type UpstreamConfig = ParsedL7ProxyConfig['upstreams'][number];

function isOrigin(url: string): boolean {
  if (!URL.canParse(url)) return true;
  const { username, password, pathname, search, hash } = new URL(url);
  return username === '' && password === '' && pathname === '/' && search === '' && hash === '';
}
