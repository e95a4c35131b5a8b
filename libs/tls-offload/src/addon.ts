import type { SignatureInput, SignatureScheme } from '@nest-hsm/hsm';
import { fileURLToPath } from 'node:url';
import nodeGypBuild from 'node-gyp-build';
import { TlsOffloadError } from './errors.js';

/** The face of `native/src/bind_*.cc`. One instance per Node environment (main thread, each worker). */
export interface Addon {
  readonly ServerContext: new (options: ServerContextOptions) => ServerContext;
  readonly ClientContext: new (options: ClientContextOptions) => ClientContext;
  /** Made to accept a client, or to connect to a server, which ends unless it proves its name. */
  readonly Session: {
    new (context: ServerContext): Session;
    /** @throws {TypeError} for what is no name of a server */
    new (context: ClientContext, server: ServerIdentity): Session;
  };
  readonly Forwarding: new (
    session: Session,
    clientDescriptor: number,
    upstreamDescriptor: number,
    options: ForwardingOptions,
    onEnd: (end: ForwardingEnd) => void,
  ) => Forwarding;
  readonly PeerAuth: new (settings: PeerAuthSettings) => PeerAuth;
  /** @param lifetimeSeconds  of a ticket @param sessionSeconds  from the full handshake on, through all renewals */
  readonly TicketKeys: new (lifetimeSeconds: number, sessionSeconds: number) => TicketKeys;
  readonly Staple: new () => Staple;
  /** DER (RFC 6960 §4.1). @throws {TypeError} for what is no certificate in DER */
  readonly ocspRequest: (leaf: Uint8Array, issuer: Uint8Array) => Buffer;
  /** Whether a response says that the certificate is good, in force now, and signed by or for its issuer. */
  readonly verifyOcspResponse: (response: Uint8Array, leaf: Uint8Array, issuer: Uint8Array) => OcspVerdict;
  /** For tests: what lives in this environment. */
  readonly counters: () => { readonly liveSessions: number; readonly pausedJobs: number };
}

/** Lists are OpenSSL's names between colons, best first. */
export interface Negotiation {
  readonly tls13Only: boolean;
  readonly ciphersTls12: string;
  readonly ciphersTls13: string;
  /** `*` in front of a name: a client sends its share of the key exchange at once. */
  readonly groups: string;
  readonly signatureAlgorithms: string;
}

/** A DER chain, leaf first, and the index of the key that signs for its leaf. */
export interface NativeCertificate {
  readonly chain: readonly Uint8Array[];
  readonly keyIndex: number;
}

export interface ServerContextOptions extends Negotiation {
  readonly credentials: readonly {
    /** `*.` in front for one label; none: the default. */
    readonly serverNames: readonly string[];
    /** At most one of each kind of key. Without a `staple` no OCSP response goes with it. */
    readonly certificates: readonly (NativeCertificate & { readonly staple?: Staple })[];
    /** Undefined: clients are not asked for certificates. */
    readonly clientAuth?: PeerAuth;
  }[];
  /** Undefined: no session is resumed. */
  readonly ticketKeys?: TicketKeys;
  /** Sessions of contexts with another one are not resumed. */
  readonly ticketScope?: string;
  readonly alpnProtocols: readonly string[];
  /** Ends handshakes for names that neither `serverNames` nor a default certificate has (unrecognized_name). */
  readonly refuseUnknownNames: boolean;
}

export interface ClientContextOptions extends Negotiation {
  /** For servers that ask: at most one of each kind of key. Empty: none is ever shown. */
  readonly certificates: readonly NativeCertificate[];
  /** With `peer: 'server'`. */
  readonly serverAuth: PeerAuth;
}

/** The server that a connection is for. */
export interface ServerIdentity {
  /** A host name without a dot at either end, or an address: its certificate has to have it among its alternative names. */
  readonly name: string;
  readonly isAddress: boolean;
  /** Best first; empty: the extension is not sent. */
  readonly alpnProtocols: readonly string[];
}

/** What is asked of peers' certificates. Several contexts may share one; what is updated holds for their next handshakes. */
export interface PeerAuth {
  /**
   * Takes what is sound of it; CRLs taken before stay until newer ones come.
   * @returns why CRLs were not taken, `CRL n: …`, counted from 1
   * @throws {TypeError} when the authorities cannot be used: then nothing has changed
   */
  update(files: { readonly authorities: readonly Uint8Array[]; readonly crls: readonly Uint8Array[] }): string[];
  /** In force; seconds since the epoch. */
  crls(): { readonly issuer: string; readonly thisUpdate: number; readonly nextUpdate: number }[];
  /** The same in DER. */
  encodedCrls(): Buffer[];
  /** Certificates refused, by OpenSSL's reason. */
  refusals(): Record<string, number>;
}

export interface PeerAuthSettings {
  /** Whose certificates. */
  readonly peer: 'client' | 'server';
  /** False: a client may show no certificate. */
  readonly required: boolean;
  readonly checkCrls: boolean;
  readonly maximumIntermediates: number;
  readonly maximumChainBytes: number;
  /** Of clients. Empty: every certificate that an authority has issued. */
  readonly rules: readonly ClientRule[];
}

export interface ClientRule {
  readonly kind: 'dns' | 'email' | 'uri' | 'spiffe' | 'subject';
  readonly pattern: string;
}

/** The keys that seal session tickets. */
export interface TicketKeys {
  /** Replaces all of them. They are copied; the caller zeroes its own. */
  set(keys: readonly TicketKey[]): void;
}

export interface TicketKey {
  /** 16 bytes, not secret. */
  readonly name: Uint8Array;
  /** 32 bytes. */
  readonly encryption: Uint8Array;
  /** 32 bytes. */
  readonly authentication: Uint8Array;
  /** Seconds since the epoch. */
  readonly issueFrom: number;
  readonly issueUntil: number;
  readonly acceptUntil: number;
}

/** The OCSP response that goes with a certificate. */
export interface Staple {
  /** @param until  seconds since the epoch, after which it is served no more */
  set(response: Uint8Array, until: number): void;
}

export interface OcspVerdict {
  /** Empty, or why the response must not be stapled. */
  readonly fault: string;
  readonly isRevoked: boolean;
  /** Seconds since the epoch. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

declare const serverContextBrand: unique symbol;
/** Immutable; shared by its sessions, which keep it alive. */
export interface ServerContext {
  readonly [serverContextBrand]: true;
}

declare const clientContextBrand: unique symbol;
/** The same of clients. */
export interface ClientContext {
  readonly [clientContextBrand]: true;
}

/** One connection. Calls never block; ciphertext to send is taken after each of them. */
export interface Session {
  /**
   * Goes on with the handshake, or with the message of it that holds back. Input that arrives while a signature is wanted, or that
   * comes after it, is kept.
   */
  handshake(input?: Uint8Array): HandshakeProgress;
  /** The signature that the handshake waits for, undefined when it waits for none. Sessions that want the same share it. */
  signatureWanted(): SignatureWanted | undefined;
  /** What it is made of: a digest, or the message; undefined when none is waited for. */
  signatureInput(): Buffer | undefined;
  /** Undefined: it failed, and the handshake ends with internal_error. @returns false when none is wanted */
  deliver(signature?: Uint8Array): boolean;
  /** @returns bytes written to `plaintext` (0: feed more), or one of `readEnd` */
  read(input: Uint8Array | undefined, plaintext: Uint8Array): number;
  /**
   * The peer's key update or ticket came in several records, and not yet the last one (RFC 8446 §5.1): OpenSSL writes nothing before
   * it. Until `handshake` or `read` brings the rest, `write` and `shutdown` fail the session.
   */
  holdsBack(): boolean;
  /** Encrypts all of it. @returns false when the session has failed */
  write(plaintext: Uint8Array): boolean;
  /** Queues close_notify; reading goes on. @returns false when the session has failed */
  shutdown(): boolean;
  takeOutput(): Buffer | undefined;
  describe(): SessionDescription;
  /** Why it failed; empty otherwise. */
  failure(): string;
  /** What was found of the peer's certificates, one of OpenSSL's X509_V_*; 0 when nothing was wrong, or none were seen. */
  verifyResult(): number;
  /** Frees it; a paused handshake is ended first. */
  close(): void;
}

/** Numbered as in `native/src/session.h`. */
export const handshakeProgress = { wantInput: 0, wantSignature: 1, secure: 2, failed: 3 } as const;
export type HandshakeProgress = (typeof handshakeProgress)[keyof typeof handshakeProgress];

/** `closed`: the peer sent close_notify. */
export const readEnd = { closed: -1, failed: -2 } as const;

/** Frozen. */
export interface SignatureWanted {
  readonly keyIndex: number;
  readonly scheme: SignatureScheme;
  readonly input: SignatureInput;
}

/** Frozen: connections that are alike share one. */
export interface SessionDescription {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly protocol: string;
  readonly cipher: string;
  readonly cipherStandardName: string;
  readonly cipherVersion: string;
  /** Key exchange group, e.g. `X25519MLKEM768`. */
  readonly group: string;
  /** Empty: none was negotiated. */
  readonly alpnProtocol: string;
  /** What the client asked for, in lower case and without a dot at the end; empty: for none, or for an address. */
  readonly serverName: string;
  /** From a ticket: no signature was made, no certificate shown. */
  readonly resumed: boolean;
  /** What the peer proved itself with, in DER, leaf first, verified by OpenSSL; empty: with nothing. */
  readonly peerCertificates: readonly Uint8Array[];
}

/**
 * Carries bytes between the TCP connection of a secure session and one to an upstream, until both directions have ended or one
 * side breaks. It works on duplicates of the descriptors; nobody else may read or write them, or the session, from here on.
 */
export interface Forwarding {
  statistics(): ForwardingStatistics;
  /** Resets both sides. `onEnd` is called before it returns. */
  stop(): void;
}

export interface ForwardingOptions {
  /** Without a byte moved, either way. */
  readonly idleTimeoutMilliseconds: number;
  /** In all; 0: no limit. */
  readonly lifetimeMilliseconds: number;
  /** For the upstream, before what the client sends. */
  readonly preamble?: Uint8Array;
  /** Ciphertext that was read already, 256 KiB at most. */
  readonly received?: Uint8Array;
}

export interface ForwardingStatistics {
  /** Bytes of plaintext. */
  readonly fromClient: number;
  readonly fromUpstream: number;
}

/** Numbered as in `native/src/pump.h`. Both sides have got a reset, unless it is orderly. */
export const forwardingEnd = {
  orderly: 1,
  clientGone: 2,
  recordInvalid: 3,
  upstreamGone: 4,
  idle: 5,
  expired: 6,
  stopped: 7,
} as const;
export type ForwardingEnd = (typeof forwardingEnd)[keyof typeof forwardingEnd];

let loaded: Addon | undefined;

/**
 * The native addon, whose self-test has passed.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_ADDON_UNUSABLE
 */
export function loadAddon(): Addon {
  return (loaded ??= load(fileURLToPath(new URL('..', import.meta.url))));
}

function load(packageDirectory: string): Addon {
  try {
    return nodeGypBuild(packageDirectory) as Addon;
  } catch (cause) {
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_ADDON_UNUSABLE', describeLoadFailure(cause as NodeJS.ErrnoException), {
      cause,
    });
  }
}

/** One sentence for each way in which the addon may not load. */
export function describeLoadFailure(cause: NodeJS.ErrnoException): string {
  const { node, openssl } = process.versions;
  const got = `Node.js ${node} with ${openssl === undefined ? 'no OpenSSL' : `OpenSSL ${openssl}`}`;
  if (/undefined symbol|symbol not found/i.test(cause.message)) {
    return `TLS addon: want a Node.js that exports OpenSSL 3.5 or later (the official builds from 22.20 on do), got ${got}`;
  }
  if (cause.message.startsWith('No native build was found')) {
    return (
      `TLS addon: want a binary for ${process.platform} ${process.arch}, got none ` +
      '(in a clone of the repository: node scripts/build-native.mjs)'
    );
  }
  return `TLS addon on ${got}: ${cause.message}`;
}
