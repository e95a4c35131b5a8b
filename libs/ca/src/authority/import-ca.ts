import type { HsmKey } from '@nest-hsm/hsm';
import { parseDer } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import { type CertificateView, viewTbsCertificate } from '../issuance/certificate-view.js';
import { isSignedBy } from '../issuance/issuer.js';
import { keyIdentifier } from '../issuance/key-identifier.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { keyUsageBits } from '../profile/key-usage.js';
import { acceptPublicKey } from '../request/key-policy.js';
import { caKeyId } from './ca-key.js';
import { chainsOf, sha256 } from './chains.js';
import type { ConfiguredCa } from './configured-ca.js';
import type { HierarchyContext } from './hierarchy.js';
import { assertConstraints } from './load-ca.js';

/** Certificates of one import; a chain has few. */
const maximumCertificates = 8;

/** Extensions of a CA certificate that this CA heeds, or that bind relying parties and not the CA. */
const understood: readonly string[] = [
  oids.basicConstraints,
  oids.keyUsage,
  oids.nameConstraints,
  oids.extendedKeyUsage,
  oids.certificatePolicies,
];

const signatures: readonly string[] = [
  oids.sha256WithRSAEncryption,
  oids.sha384WithRSAEncryption,
  oids.sha512WithRSAEncryption,
  oids.ecdsaWithSHA256,
  oids.ecdsaWithSHA384,
  oids.ecdsaWithSHA512,
];

interface Imported {
  readonly certificate: CaCertificate;
  readonly view: CertificateView;
}

/**
 * Takes in a certificate that a CA elsewhere gave to one of our CAs, with the certificates above it. Nothing is kept unless all of it
 * holds.
 * @param der  certificates, in any order: that of our key, those above it, the root
 * @param rootSha256  SHA-256 of the root in hexadecimal: how the operator knows it, by another way than this file
 * @returns its certificate first, the root last
 * @throws {CaError} ERR_CA_IMPORT_REFUSED
 */
export async function importCertificate(
  context: HierarchyContext,
  ca: ConfiguredCa,
  key: HsmKey,
  der: readonly Buffer[],
  rootSha256: string,
): Promise<readonly CaCertificate[]> {
  if (der.length === 0 || der.length > maximumCertificates)
    refuse(`want 1 to ${maximumCertificates} certificates, got ${der.length}`);
  const certificates = der.map(read);
  const own = certificates.find(({ certificate }) => key.publicKey?.equals(certificate.publicKey) === true);
  if (own === undefined) return refuse(`want a certificate of key ${ca.label}, got those of other keys`);
  const chain = climb(own, certificates, rootSha256);
  for (const [below, each] of chain.entries()) assertCa(each, below, context.now());
  assertOurs(own.certificate, ca);
  await assertSameIdentifier(context, own.certificate, caKeyId(key));
  // The root first: a crash leaves certificates that lead nowhere, and the import is made again.
  for (const { certificate, view } of [...chain].reverse()) {
    await context.authorities.import({
      sha256: sha256(certificate.der),
      subjectKeyId: keyIdentifier(view.subjectPublicKeyInfo).toString('hex'),
      subjectSha256: sha256(certificate.subject),
      certificate: certificate.der,
      importedAt: context.now(),
    });
  }
  return chain.map(({ certificate }) => certificate);
}

function read(der: Buffer): Imported {
  try {
    const certificate = readCaCertificate(der);
    const [tbs, algorithm, ...rest] = parseDer(der).children;
    const view = viewTbsCertificate(tbs);
    acceptPublicKey(view.subjectPublicKeyInfo);
    const signature = decodeOid(algorithm.children[0].content);
    if (!signatures.includes(signature) || !algorithm.raw.equals(view.signatureAlgorithm.raw) || rest.length !== 1)
      throw new TypeError(`signature algorithm ${signature}, or two that differ`);
    return { certificate, view };
  } catch (error) {
    return refuse(
      `want CA certificates of RFC 5280, got ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

/** From a certificate to the root that is known by its digest, each signature verified. */
function climb(from: Imported, certificates: readonly Imported[], rootSha256: string): Imported[] {
  const chain = [from];
  for (;;) {
    const last = chain[chain.length - 1];
    if (sha256(last.certificate.der) === rootSha256) return chain;
    const above = certificates.find((each) => !chain.includes(each) && isSignedBy(last.certificate, each.certificate));
    if (above === undefined)
      return refuse(`want a chain to the root ${rootSha256}, got one that ends at ${sha256(last.certificate.der)}`);
    chain.push(above);
  }
}

/** RFC 5280 §6.1.4 for one CA of a path. @param below  certificates under it */
function assertCa({ certificate, view }: Imported, below: number, now: Date): void {
  const name = sha256(certificate.der);
  const { validity, pathLength } = certificate;
  if (now < validity.notBefore || now > validity.notAfter)
    refuse(
      `${name}: want it valid now, got one from ${validity.notBefore.toISOString()} to ${validity.notAfter.toISOString()}`,
    );
  const oidsOf = view.extensions.map(({ oid }) => oid);
  if (new Set(oidsOf).size < oidsOf.length) refuse(`${name}: want each extension once`);
  const unknown = view.extensions.filter(({ oid, critical }) => critical && !understood.includes(oid));
  if (unknown.length > 0)
    refuse(`${name}: want no unknown critical extension, got ${unknown.map(({ oid }) => oid).join(', ')}`);
  const usage = view.extensions.find(({ oid }) => oid === oids.keyUsage)?.value.content;
  const isSet = (bit: number): boolean => ((usage?.[1] ?? 0) & (0x80 >> bit)) !== 0;
  if (!isSet(keyUsageBits.keyCertSign) || (below === 0 && !isSet(keyUsageBits.cRLSign)))
    refuse(`${name}: want keyUsage with keyCertSign, and cRLSign for our own`);
  if (pathLength !== undefined && pathLength < below)
    refuse(`${name}: want a pathLenConstraint of at least ${below}, got ${pathLength}`);
}

function assertOurs(certificate: CaCertificate, ca: ConfiguredCa): void {
  if (!certificate.subject.equals(encodeDistinguishedName(ca.subject)))
    refuse(`${ca.name} CA: want the configured subject, encoded as requested, got another`);
  const { pathLength } = certificate;
  if (pathLength !== undefined && pathLength < (ca.pathLength ?? 0))
    refuse(`${ca.name} CA: want a pathLenConstraint of at least ${ca.pathLength}, got ${pathLength}`);
  try {
    assertConstraints(certificate, ca);
  } catch (error) {
    refuse((error as Error).message, error);
  }
}

/** What this CA issues names one key identifier, so that a second one would break the chains of the first. */
async function assertSameIdentifier(
  context: HierarchyContext,
  certificate: CaCertificate,
  keyId: string,
): Promise<void> {
  const [known] = await chainsOf(context, keyId);
  if (known !== undefined && !known[0].keyIdentifier.equals(certificate.keyIdentifier))
    refuse(
      `want subject key identifier ${known[0].keyIdentifier.toString('hex')} as in the certificate that is there, got ${certificate.keyIdentifier.toString('hex')}`,
    );
}

function refuse(message: string, cause?: unknown): never {
  throw new CaError('ERR_CA_IMPORT_REFUSED', `import: ${message}`, { cause });
}
