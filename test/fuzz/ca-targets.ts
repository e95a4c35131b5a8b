import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { fromBER } from 'asn1js';
import { CaError } from '../../libs/ca/src/errors.js';
import { DerError, type DerNode, parseDer } from '../../libs/ca/src/der/der-reader.js';
import { tags } from '../../libs/ca/src/der/der-writer.js';
import { readCaCertificate } from '../../libs/ca/src/issuance/ca-certificate.js';
import { readCommittedTbs } from '../../libs/ca/src/issuance/committed-tbs.js';
import { encodeDistinguishedName } from '../../libs/ca/src/name/distinguished-name.js';
import { generalName, nameKinds } from '../../libs/ca/src/name/general-name.js';
import { MalformedOcspRequest, parseOcspRequest } from '../../libs/ca/src/ocsp/ocsp-request.js';
import { parseProfiles } from '../../libs/ca/src/profile/profile-file.js';
import { type CertificationRequest, parseCsr, requestedAttribute } from '../../libs/ca/src/request/csr.js';
import { readPublicKey } from '../../libs/ca/src/request/key-policy.js';
import { verifyProofOfPossession } from '../../libs/ca/src/request/proof-of-possession.js';
import {
  buildCsr,
  caTrue,
  challengePassword,
  commonName,
  dns,
  ecKey,
  email,
  extension,
  extensionRequest,
  ip,
  mustStaple,
  noName,
  oid,
  rsaKey,
  sequence,
  subjectAltName,
  tlv,
  toPem,
  uri,
} from '../support/csr.js';

/** A parser, sound inputs to start from, and what must hold of whatever it is given. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  /** Throws when the parser misbehaves: an error of another kind than its own, or something taken that should not be. */
  readonly judge: (input: Buffer) => void | Promise<void>;
}

const everyName = [dns('a.example.test'), ip([127, 0, 0, 1]), email('a@example.test'), uri('spiffe://example.test/a')];
const csrs: Buffer[] = [
  buildCsr(),
  buildCsr({ subject: noName, attributes: [extensionRequest(subjectAltName(...everyName))] }),
  buildCsr({ key: rsaKey(2048), attributes: [challengePassword, extensionRequest(mustStaple, caTrue)] }),
  buildCsr({ key: ecKey('P-521'), subject: commonName('a.example.test', 0x13) }),
];
const [first] = csrs;
const csrSet = new Set(csrs.map((csr) => csr.toString('hex')));

const time = tlv(0x17, Buffer.from('261122120000Z'));
const p256 = ecKey('P-256').publicKey.export({ format: 'der', type: 'spki' });
const certificate = (...extensions: Buffer[]): Buffer => {
  const name = encodeDistinguishedName({ commonName: 'a.example.test', country: 'DE' });
  const algorithm = sequence(oid('2a8648ce3d040302'));
  const fields = [tlv(0xa0, tlv(0x02, [2])), tlv(0x02, [0x41]), algorithm, name, sequence(time, time), name, p256];
  return sequence(...fields, tlv(0xa3, sequence(...extensions)));
};
const constraints = extension(
  '551d1e',
  sequence(tlv(0xa0, sequence(dns('example.test')), sequence(email('.example.test')))),
);
const authority = certificate(extension('551d13', sequence(tlv(0x01, [0xff]), tlv(0x02, [1]))), extension('551d0e', tlv(0x04, Buffer.alloc(20, 7))), constraints); // prettier-ignore

const certId = sequence(
  sequence(oid('2b0e03021a'), [5, 0]),
  tlv(4, Buffer.alloc(20, 1)),
  tlv(4, Buffer.alloc(20, 2)),
  tlv(2, [0x41]),
);
const nonce = tlv(0xa2, sequence(extension('2b0601050507300102', tlv(4, Buffer.alloc(16, 7)))));

export const caTargets: readonly FuzzTarget[] = [
  {
    name: 'the DER reader',
    seeds: [...csrs, authority],
    judge: (input) => {
      const node = attempt(() => parseDer(input), DerError);
      // What it takes a general library takes as well, of the types both judge.
      if (node !== undefined && isOfKnownTypes(node)) want(fromBER(new Uint8Array(input)).offset === input.length);
    },
  },
  {
    name: 'the CSR reader with key policy and proof of possession',
    seeds: csrs,
    judge: async (input) => {
      const read = attempt(() => {
        const request = parseCsr(input);
        return { request, key: readPublicKey(request.subjectPublicKeyInfo) };
      }, CaError);
      if (read === undefined) return;
      const isProven = await verifyProofOfPossession(read.request, read.key).then(
        () => true,
        (error: unknown) => {
          if (error instanceof CaError) return false;
          throw error;
        },
      );
      // Whoever changes an octet does not have the key: nothing but the seeds is proven.
      if (isProven) want(csrSet.has(input.toString('hex')));
    },
  },
  {
    name: 'the CSR reader, unsigned, against a library',
    seeds: csrs,
    judge: (input) => {
      const request = attempt(() => parseCsr(input), CaError);
      if (request !== undefined && input[0] === tags.sequence) sameAsLibrary(request, input);
    },
  },
  { name: 'PEM', seeds: [Buffer.from(toPem(first)), Buffer.from(toPem(first, 'NEW CERTIFICATE REQUEST'))], judge: (input) => void attempt(() => parseCsr(input), CaError) },
  { name: 'the reader of CA certificates', seeds: [sequence(authority, sequence(oid('2a8648ce3d040302')), tlv(0x03, [0, 1]))], judge: (input) => void attempt(() => readCaCertificate(input), CaError) },
  { name: 'the reader of committed TBS', seeds: [certificate(subjectAltName(...everyName)), authority], judge: (input) => void attempt(() => readCommittedTbs(input), CaError, DerError, TypeError) },
  { name: 'the OCSP request reader', seeds: [sequence(sequence(sequence(sequence(certId)))), sequence(sequence(sequence(sequence(certId)), nonce))], judge: (input) => void attempt(() => parseOcspRequest(input), MalformedOcspRequest) },
  {
    name: 'names in text',
    seeds: ['*.münchen.example', 'a@b.test', 'spiffe://a.test/b', '2001:db8::1', '10.0.0.1', 'urn:uuid:1'].map((text) => Buffer.from(text)),
    judge: (input) => {
      const text = input.toString('utf8');
      for (const kind of nameKinds) {
        const name = attempt(() => generalName(kind, text), CaError);
        // One spelling: what it returns is ASCII, and spelt so already.
        if (name !== undefined) want(/^[\x21-\x7e]+$/.test(name.value) && generalName(kind, name.value).value === name.value);
      }
    },
  },
  {
    name: 'profile files',
    seeds: ['tls-server: { validityDays: 7 }\n', 'a: &a\n  extends: smime\n  subject: { commonName: { value: "x" } }\nb: *a\n', 'intermediate:\n  authority: { nameConstraints: { permitted: { dns: [a.test] } } }\n'].map((text) => Buffer.from(text)),
    judge: (input) => void attempt(() => parseProfiles(input.toString('utf8'), 'fuzz'), CaError),
  },
]; // prettier-ignore

/** @returns undefined when one of its own errors was thrown */
function attempt<T>(work: () => T, ...own: (abstract new (...args: never[]) => Error)[]): T | undefined {
  try {
    return work();
  } catch (error) {
    if (own.some((kind) => error instanceof kind)) return undefined;
    throw error;
  }
}

function want(condition: boolean): void {
  if (!condition) throw new Error('taken, and should not be');
}

/** A library that reads anything must read what ours takes, and the same in it. */
function sameAsLibrary(request: CertificationRequest, input: Buffer): void {
  let theirs: Pkcs10CertificateRequest;
  try {
    theirs = new Pkcs10CertificateRequest(input);
  } catch {
    // It decodes algorithms and extensions that ours leaves to key policy and profile.
    return;
  }
  want(Buffer.from(theirs.publicKey.rawData).equals(request.subjectPublicKeyInfo.raw));
  const ours = attempt(() => requestedAttribute(request, 'commonName'), CaError);
  if (ours !== undefined) want(theirs.subjectName.getField('CN').includes(ours));
}

const judged: number[] = [tags.boolean, tags.integer, tags.bitString, tags.octetString, tags.null, tags.oid, tags.sequence, tags.set]; // prettier-ignore

function isOfKnownTypes({ tag, children }: DerNode): boolean {
  return (tag >= 0x40 || judged.includes(tag)) && children.every(isOfKnownTypes);
}
