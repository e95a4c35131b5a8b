import { X509Certificate } from 'node:crypto';
import { TlsOffloadError } from './errors.js';

/** More than any real chain: a bound on what a file or an answer may make us parse. */
const longestChain = 10;

/**
 * A certificate chain, leaf first, each signed by the next (RFC 5280 §6.1), the leaf valid now.
 * @param pem  `CERTIFICATE` blocks (RFC 7468 §5), with anything between them
 * @param source  where it comes from, for messages
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CERTIFICATE_INVALID
 */
export function parseCertificateChain(pem: string, source: string, now = new Date()): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || blocks.length > longestChain) {
    throw invalid(`${source}: want 1 to ${longestChain} certificates in PEM, got ${blocks.length}`);
  }
  const chain = blocks.map((block, index) => parse(block, `${source}: certificate ${index + 1}`));
  chain.slice(1).forEach((issuer, index) => {
    if (!isIssuedBy(chain[index], issuer)) {
      throw invalid(
        `${source}: want each certificate signed by the next, got certificate ${index + 1} signed by another`,
      );
    }
  });
  const [leaf] = chain;
  if (leaf.ca) throw invalid(`${source}: want the certificate of a server or a client first, got a CA's`);
  if (now < leaf.validFromDate || now > leaf.validToDate) {
    throw invalid(
      `${source}: want a certificate valid at ${now.toISOString()}, got ${leaf.validFrom} to ${leaf.validTo}`,
    );
  }
  return Object.freeze(chain);
}

/** What of a certificate's life is left: 1 when it begins, 0 or less when it is over. */
export function remainingLife(certificate: X509Certificate, now = new Date()): number {
  const end = certificate.validToDate.getTime();
  return (end - now.getTime()) / (end - certificate.validFromDate.getTime());
}

function parse(block: string, source: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (cause) {
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CERTIFICATE_INVALID', `${source}: want X.509, got something else`, {
      cause,
    });
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function invalid(message: string): TlsOffloadError {
  return new TlsOffloadError('ERR_TLS_OFFLOAD_CERTIFICATE_INVALID', message);
}
