import { z } from 'zod';
import { authoritiesShape } from '../config.js';
import { defaultGroups, keyExchangeGroups } from '../algorithms.js';
import { negotiationShape, preferences } from '../negotiation.js';

export const connectorConfigSchema = z.strictObject({
  /** Without `caFile`: the roots of Node.js. */
  ...authoritiesShape,
  /** Offered through ALPN in order of preference (RFC 7301), unless a connection is told others. Empty: no ALPN. */
  alpnProtocols: z.array(z.string().min(1).max(255)).max(16).default([]),
  ...negotiationShape,
  /**
   * Key exchange and, in TLS 1.2, the curves of certificates: an EC key on a curve that is not listed is refused there, the server's
   * and ours (RFC 8422 §5.1.1).
   */
  groups: preferences(keyExchangeGroups, [...defaultGroups, 'P-384', 'P-521']),
  /** From the beginning to the end of the handshake, the TCP connection and the HSM's signature included. */
  handshakeTimeoutMilliseconds: z.int().min(100).max(120_000).default(10_000),
  /** Handshakes waiting for one key beyond which a handshake fails. */
  pendingSignatureLimit: z.int().min(1).max(65_536).default(256),
});

/** What an application writes. */
export type ConnectorConfig = z.input<typeof connectorConfigSchema>;
export type ParsedConnectorConfig = Readonly<z.output<typeof connectorConfigSchema>>;
