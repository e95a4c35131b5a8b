import { type KeyObject, X509Certificate } from 'node:crypto';
import type { HsmKey } from '@nest-hsm/hsm';
import { caKeyId, findOrGenerateCaKey } from '../authority/ca-key.js';
import { sha256 } from '../authority/chains.js';
import { isCaKeyLabel } from '../authority/configured-ca.js';
import { type HierarchyContext, hierarchyContext, type HierarchyOptions } from '../authority/hierarchy.js';
import { signDocument } from '../authority/signed-document.js';
import { parseDer } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import { authorityKeyIdentifier, basicConstraints, keyUsage, subjectKeyIdentifier } from '../issuance/extensions.js';
import { type SigningAuthority, signingAuthority } from '../issuance/issuer.js';
import { keyIdentifier } from '../issuance/key-identifier.js';
import { lint } from '../issuance/lint.js';
import type { CaKeyAlgorithm } from '../issuance/signature-algorithm.js';
import { SerialNumbers } from '../issuance/serial-numbers.js';
import { assembleSigned } from '../issuance/signing.js';
import { encodeTbsCertificate, type Validity } from '../issuance/tbs-certificate.js';
import { backdateMilliseconds } from '../issuance/validity.js';
import { isResponderLabel } from '../ocsp/responder-label.js';
import { type DistinguishedName, encodeDistinguishedName } from '../name/distinguished-name.js';
import { parseCsr } from '../request/csr.js';
import { readPublicKey } from '../request/key-policy.js';
import { verifyProofOfPossession } from '../request/proof-of-possession.js';
import { type ClusterIntent, clusterRules, viewCluster } from './cluster-rules.js';

export interface ClusterSigningOptions extends HierarchyOptions {
  /** Of the key that owns the cluster; made if it is missing. */
  readonly label: string;
  readonly algorithm: CaKeyAlgorithm;
  readonly subject: DistinguishedName;
  readonly validityDays: number;
}

/** What AWS CloudHSM's `initialize-cluster` wants. */
export interface ClusterCertificates {
  /** `--trust-anchor`: the owner's self-signed certificate, DER. */
  readonly customerCa: Buffer;
  /** `--signed-cert`: the cluster's certificate, DER. */
  readonly cluster: Buffer;
}

/**
 * Signs the CSR of a new AWS CloudHSM cluster with an owner's key in an HSM, in place of the openssl steps of its guide ("Initialize
 * the cluster in AWS CloudHSM", "Sign the CSR"). The owner's certificate is made once and found again by its key. The subject is the
 * CSR's own, octet for octet.
 * @param csr  `CLUSTER_ClusterCsr.csr`: PEM or DER
 * @throws {CaError} ERR_CA_CSR_* | ERR_CA_KEY_* | ERR_CA_LINT_FAILED | ERR_CA_ISSUER_UNUSABLE | ERR_CA_STORE_UNAVAILABLE
 * @throws {HsmError} the token could not sign
 */
export async function signClusterCsr(
  csr: Uint8Array | string,
  options: ClusterSigningOptions,
): Promise<ClusterCertificates> {
  const request = parseCsr(csr);
  const key = readPublicKey(request.subjectPublicKeyInfo);
  if (key.kind !== 'rsa') throw new CaError('ERR_CA_KEY_UNSUPPORTED', `cluster CSR: want an RSA key, got ${key.kind}`);
  await verifyProofOfPossession(request, key);
  const context = hierarchyContext(options);
  return context.certificates.exclusively(async () => {
    const [authority, customerCa] = await ownerOf(context, options);
    const cluster = await sign(context, authority, {
      subject: parseDer(request.info).children[1],
      subjectPublicKeyInfo: request.subjectPublicKeyInfo,
      validity: validityFor(options, context.now(), customerCa.validity),
      isAuthority: false,
    });
    return { customerCa: customerCa.der, cluster };
  });
}

/** The owner's key and its self-signed certificate. */
async function ownerOf(
  context: HierarchyContext,
  options: ClusterSigningOptions,
): Promise<[SigningAuthority, CaCertificate]> {
  const { authorities, now } = context;
  const key = await ownKey(context, options);
  const authority = signingAuthority(key, encodeDistinguishedName(options.subject));
  const subjectKeyId = caKeyId(key);
  const [known] = await authorities.listImported({ subjectKeyId });
  if (known !== undefined) return [authority, ownCertificate(known.certificate, authority)];
  const der = await sign(context, authority, {
    subject: parseDer(authority.name),
    subjectPublicKeyInfo: parseDer(authority.subjectPublicKeyInfo),
    validity: validityFor(options, now()),
    isAuthority: true,
  });
  const subjectSha256 = sha256(authority.name);
  await authorities.import({ sha256: sha256(der), subjectKeyId, subjectSha256, certificate: der, importedAt: now() });
  return [authority, ownCertificate(der, authority)];
}

/**
 * The owner's key: a CA's is never lent, since what it signs here is in no CRL of that CA.
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE
 */
async function ownKey(context: HierarchyContext, options: ClusterSigningOptions): Promise<HsmKey> {
  const { config, token, certificates, observer } = context;
  const { label } = options;
  const isTaken = isResponderLabel(label) || isCaKeyLabel(config.authority, label);
  const key = isTaken ? undefined : await findOrGenerateCaKey(token, options, observer);
  if (key !== undefined && (await certificates.findAuthority(caKeyId(key))) === undefined) return key;
  throw new CaError('ERR_CA_ISSUER_UNUSABLE', `cluster owner: want a key of its own, got ${label}, which is a CA's`);
}

/** What the database has is believed as far as the owner's key signed it. */
function ownCertificate(der: Buffer, { name, publicKey, key }: SigningAuthority): CaCertificate {
  const certificate = readCaCertificate(der);
  if (certificate.subject.equals(name) && isSelfSigned(der, publicKey)) return certificate;
  throw new CaError(
    'ERR_CA_ISSUER_UNUSABLE',
    `customer CA ${key.label}: want its own certificate with the given subject in the database, got another`,
  );
}

function isSelfSigned(der: Buffer, key: KeyObject): boolean {
  const certificate = new X509Certificate(der);
  return certificate.publicKey.equals(key) && certificate.verify(key);
}

/** serial → TBS → lint → committed → signed → verified → compared. */
async function sign(context: HierarchyContext, authority: SigningAuthority, intent: ClusterIntent): Promise<Buffer> {
  const serial = await new SerialNumbers(context.token).next();
  const { subject, subjectPublicKeyInfo, validity, isAuthority } = intent;
  const extensions = [
    ...(isAuthority
      ? [keyUsage(['keyCertSign', 'cRLSign']), basicConstraints({})]
      : [authorityKeyIdentifier(authority.keyIdentifier)]),
    subjectKeyIdentifier(keyIdentifier(subjectPublicKeyInfo)),
  ];
  const tbs = encodeTbsCertificate({
    serial,
    signatureAlgorithm: authority.signatureAlgorithm.identifier,
    issuer: authority.name,
    validity,
    subject: subject.raw,
    subjectPublicKeyInfo: subjectPublicKeyInfo.raw,
    extensions,
  });
  lint('cluster certificate', tbs, (node) => viewCluster(node, intent, authority, serial), clusterRules);
  return assembleSigned(tbs, authority, await signDocument(context, authority, 'cluster', tbs));
}

function validityFor({ validityDays }: ClusterSigningOptions, now: Date, within?: Validity): Validity {
  const start = Math.floor((now.getTime() - backdateMilliseconds) / 1000) * 1000;
  const end = start + validityDays * 86_400_000 - 1000;
  return {
    notBefore: new Date(Math.max(start, within?.notBefore.getTime() ?? start)),
    notAfter: new Date(Math.min(end, within?.notAfter.getTime() ?? end)),
  };
}
