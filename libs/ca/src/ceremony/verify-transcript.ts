import { createPublicKey, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { DerError } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import { isSignedBy } from '../issuance/issuer.js';
import { invalid, parseTranscript, signedOctets, type TranscriptLine, type WrittenLine } from './transcript.js';

export interface VerifiedCa {
  readonly name: string;
  readonly label: string;
  readonly algorithm: string;
  readonly certificate: CaCertificate;
}

export interface VerifiedCeremony {
  readonly title: string;
  readonly witnesses: readonly string[];
  readonly begun: string;
  /** Absent: the ceremony was not finished. */
  readonly ended?: string;
  /** SHA-256 of the script in hexadecimal. */
  readonly script: string;
  readonly cas: readonly VerifiedCa[];
}

/**
 * Goes through a ceremony again, with its transcript and the root's certificate alone: every line follows the one before, every one from
 * the root's certificate on is signed by the root, and every certificate is of the key that was made for it and signed by its parent.
 * @param root  DER of the root's certificate, known by another way than the transcript
 * @throws {CaError} ERR_CA_TRANSCRIPT_INVALID naming the line
 */
export function verifyTranscript(transcript: Buffer, root: Buffer): VerifiedCeremony {
  const lines = parseTranscript(transcript);
  const rootCertificate = lines.find(({ line }) => line.step === 'certificate')?.line;
  if (rootCertificate?.step !== 'certificate')
    return invalid(lines.length, "want the root's certificate, got none yet");
  if (!Buffer.from(rootCertificate.certificate, 'base64').equals(root))
    return invalid(rootCertificate.seq, 'want the root certificate that was given, got another');
  return replay(lines);
}

/**
 * The same for a transcript that is on its way, and whose root is its own word.
 * @throws {CaError} ERR_CA_TRANSCRIPT_INVALID
 */
export function replay(lines: readonly WrittenLine[]): VerifiedCeremony {
  const [first] = lines;
  if (first?.line.step !== 'begin') return invalid(1, 'want the step begin');
  const { title, witnesses, time, script } = first.line;
  const state: Replay = { labels: new Map(), keys: new Map(), cas: new Map() };
  for (const [index, { line }] of lines.entries()) {
    if (index > 0) step(state, line);
    if (state.cas.size > 0) assertSigned(line, rootOf(state));
  }
  const last = lines[lines.length - 1].line;
  const ended = last.step === 'end' ? last.time : undefined;
  return { title, witnesses, begun: time, ...(ended !== undefined && { ended }), script, cas: [...state.cas.values()] };
}

interface Replay {
  readonly labels: Map<string, { readonly label: string; readonly algorithm: string }>;
  readonly keys: Map<string, KeyObject>;
  readonly cas: Map<string, VerifiedCa>;
  ended?: true;
}

function step(state: Replay, line: TranscriptLine): void {
  if (state.ended) invalid(line.seq, 'want nothing after the step end');
  switch (line.step) {
    case 'begin':
      return invalid(line.seq, 'want one step begin');
    case 'intent':
      if (state.labels.has(line.ca)) invalid(line.seq, `want one key of ${line.ca}`);
      state.labels.set(line.ca, line);
      return;
    case 'key': {
      const intent = state.labels.get(line.ca);
      if (intent?.label !== line.label || intent.algorithm !== line.algorithm || state.keys.has(line.ca))
        invalid(line.seq, `want the key of ${line.ca} that its intent says, once`);
      state.keys.set(line.ca, readKey(line.seq, line.publicKey));
      return;
    }
    case 'certificate':
      return certificate(state, line);
    case 'end':
      if (state.cas.size === 0 || state.cas.size < state.labels.size)
        invalid(line.seq, 'want a certificate of each key before the end');
      state.ended = true;
      return;
  }
}

function certificate({ labels, keys, cas }: Replay, line: Extract<TranscriptLine, { step: 'certificate' }>): void {
  const intent = labels.get(line.ca);
  const certificate = readCertificate(line.seq, line.certificate);
  if (intent === undefined || cas.has(line.ca) || keys.get(line.ca)?.equals(certificate.publicKey) !== true)
    return invalid(line.seq, `want one certificate of the key of ${line.ca}`);
  // The first one is the root's.
  if ((line.parent === undefined) !== (cas.size === 0)) return invalid(line.seq, 'want one root, and it first');
  const parent = line.parent === undefined ? certificate : cas.get(line.parent)?.certificate;
  if (parent === undefined || !isSignedBy(certificate, parent))
    return invalid(line.seq, `want it signed by ${line.parent ?? 'itself'}`);
  cas.set(line.ca, { name: line.ca, label: intent.label, algorithm: intent.algorithm, certificate });
}

function rootOf({ cas }: Replay): CaCertificate {
  const [root] = cas.values();
  return root.certificate;
}

function assertSigned(line: TranscriptLine, root: CaCertificate): void {
  const signature = Buffer.from(line.signature ?? '', 'base64');
  if (!verify(hashOfKey(root.publicKey), signedOctets(line), root.publicKey, signature))
    invalid(line.seq, "want the root's signature, got none or another");
}

/** As CA keys sign (`signatureAlgorithms`): P-384 with SHA-384, the others with SHA-256. */
function hashOfKey(key: KeyObject): 'sha256' | 'sha384' {
  return key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
}

function readKey(seq: number, base64: string): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
  } catch {
    return invalid(seq, 'want a public key');
  }
}

function readCertificate(seq: number, base64: string): CaCertificate {
  try {
    const der = Buffer.from(base64, 'base64');
    // OpenSSL reads as far as the first certificate goes; the transcript shall hold nothing behind it.
    if (!new X509Certificate(der).raw.equals(der)) throw new TypeError('more than one certificate');
    return readCaCertificate(der);
  } catch (error) {
    if (!(error instanceof CaError || error instanceof DerError || error instanceof Error)) throw error;
    return invalid(seq, `want a CA certificate, got ${error.message}`);
  }
}
