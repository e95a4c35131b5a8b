import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { certificateNames } from '@nest-hsm/ca';
import { ApiError } from '../problem/api-error.js';
import type { ClientConfig } from './access-config.js';
import { IssuerCrl } from './issuer-crl.js';
import { type Principal, principal } from './principal.js';

const clientAuth = '1.3.6.1.5.5.7.3.2';
/** How often the files of CRLs are looked at. */
const lookMilliseconds = 5_000;

interface Mapping {
  readonly holder: Principal;
  readonly isIts: (certificate: X509Certificate) => boolean;
}

/**
 * Client certificates of the configuration: each client's own, by its fingerprint, or one that a named issuer signed for an exact
 * subject or name. No certificate counts for whom it chains to, least of all to this CA, whose requesters could otherwise have
 * themselves certified as somebody else.
 */
export class ClientCertificates implements OnModuleInit, OnModuleDestroy {
  readonly #mappings: readonly Mapping[];
  readonly #issuers: readonly X509Certificate[];
  readonly #crls: readonly IssuerCrl[];
  readonly #logger = new Logger('access');
  #looking: NodeJS.Timeout | undefined;

  /** @throws {ApiError} ERR_API_CONFIG when an issuer's file cannot be used */
  constructor(
    clients: readonly ClientConfig[],
    private readonly now: () => Date = () => new Date(),
  ) {
    const issuers: X509Certificate[] = [];
    const crls: IssuerCrl[] = [];
    this.#mappings = clients.flatMap((client) => {
      if (client.certificate === undefined) return [];
      const holder = principal(`client:${client.name}`, client);
      const { certificate: wanted } = client;
      if ('sha256' in wanted)
        return [{ holder, isIts: ({ fingerprint256 }) => fingerprint256.replaceAll(':', '') === wanted.sha256 }];
      const issuer = readIssuer(wanted.issuerFile);
      issuers.push(issuer);
      const crl =
        wanted.crlFile === undefined
          ? undefined
          : new IssuerCrl(wanted.crlFile, issuer, now, (message) =>
              this.#logger.error(`client certificates: ${message}`),
            );
      if (crl !== undefined) crls.push(crl);
      const isSubject = (certificate: X509Certificate): boolean =>
        wanted.name === undefined
          ? certificate.subject === wanted.subject?.join('\n')
          : certificateNames(certificate.raw).includes(wanted.name);
      const isIts = (certificate: X509Certificate): boolean =>
        isSubject(certificate) && this.#isSignedBy(certificate, issuer) && crl?.allows(certificate) !== false;
      return [{ holder, isIts }];
    });
    this.#issuers = issuers;
    this.#crls = crls;
  }

  async onModuleInit(): Promise<void> {
    await this.#look();
    if (this.#crls.length > 0) this.#looking = setInterval(() => void this.#look(), lookMilliseconds).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.#looking);
  }

  /** Called once the CA is open. @throws {ApiError} ERR_API_CONFIG when an issuer that is configured is one of its own */
  assertNotOwn(ownPublicKeys: readonly X509Certificate['publicKey'][]): void {
    for (const { publicKey, subject } of this.#issuers) {
      if (!ownPublicKeys.some((own) => own.equals(publicKey))) continue;
      const name = subject.replaceAll('\n', ', ');
      throw new ApiError(
        'ERR_API_CONFIG',
        `access.clients: want client certificates of an issuer that is not this CA, got ${name}; map those of this CA by sha256`,
      );
    }
  }

  /**
   * @param certificate  whose private key the peer has been proven to hold
   * @returns undefined when it is nobody's, not valid now or not for clients
   */
  find(certificate: X509Certificate): Principal | undefined {
    if (!this.#isInForce(certificate) || !isForClients(certificate)) return undefined;
    return this.#mappings.find(({ isIts }) => isIts(certificate))?.holder;
  }

  async #look(): Promise<void> {
    await Promise.all(this.#crls.map((crl) => crl.look()));
  }

  #isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
    return this.#isInForce(issuer) && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  }

  #isInForce({ validFromDate, validToDate }: X509Certificate): boolean {
    const now = this.now();
    return validFromDate <= now && now <= validToDate;
  }
}

/** RFC 5280 §4.2.1.12: when purposes are given, it is for no other. */
function isForClients({ ca, keyUsage: purposes }: X509Certificate): boolean {
  // Node's `keyUsage` has the OIDs of extendedKeyUsage; absent without that extension, whatever its type says.
  return !ca && ((purposes as string[] | undefined) ?? [clientAuth]).includes(clientAuth);
}

function readIssuer(file: string): X509Certificate {
  try {
    const issuer = new X509Certificate(readFileSync(file));
    if (issuer.ca) return issuer;
    throw new Error('a certificate that is no CA');
  } catch (error) {
    const message = `access.clients: want a CA certificate in ${file}, got ${(error as Error).message}`;
    throw new ApiError('ERR_API_CONFIG', message, { cause: error });
  }
}
