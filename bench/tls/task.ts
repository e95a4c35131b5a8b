import type { HsmConfig } from '@nest-hsm/hsm';

/** What a server of this bench is asked to serve: one certificate whose EC key is on the token. */
export interface ServerTask {
  readonly config: HsmConfig & { readonly token: { readonly label: string }; readonly pin: { readonly file: string } };
  readonly keyLabel: string;
  /** PEM, leaf only. */
  readonly certificateFile: string;
  /** The PKCS#11 engine for OpenSSL; the peer's only. */
  readonly engine?: string;
}

export interface LoadTask {
  readonly port: number;
  /** PEM of the one trusted root. */
  readonly rootFile: string;
  readonly clients: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly handshakesPerSecond: number;
  readonly handshakes: number;
}
