import type { DerNode } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { type GeneralName, readGeneralName, readWrittenName } from '../name/general-name.js';
import { type KeyUsageBit, keyUsageBits, type SubjectKeyKind } from '../profile/key-usage.js';
import { type CertificateView, type ExtensionView, readTime } from './certificate-view.js';

/** What rules read from a certificate's octets. A form that is not expected throws a TypeError, and the rule does not hold. */

/** Many rules ask the same about the octets that are linted at the moment: the answer is kept until they ask about others. */
export function remembered<Octets extends object, Answer>(
  read: (octets: Octets) => Answer,
): (octets: Octets) => Answer {
  let last: { readonly octets: Octets; readonly answer: Answer } | undefined;
  return (octets) => {
    if (last?.octets !== octets) last = { octets, answer: read(octets) };
    return last.answer;
  };
}

export function findExtension(view: CertificateView, oid: string): ExtensionView | undefined {
  return view.extensions.find((extension) => extension.oid === oid);
}

/** @returns NaN for a time that is none */
export function milliseconds(time: DerNode): number {
  return readTime(time)?.getTime() ?? NaN;
}

export const readKeyUsage = remembered((view: CertificateView): readonly KeyUsageBit[] => {
  const value = findExtension(view, oids.keyUsage)?.value;
  if (value?.tag !== tags.bitString) return [];
  const isSet = (bit: number): boolean => ((value.content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0;
  return (Object.keys(keyUsageBits) as KeyUsageBit[]).filter((name) => isSet(keyUsageBits[name]));
});

export const readPurposes = remembered((view: CertificateView): readonly string[] =>
  (findExtension(view, oids.extendedKeyUsage)?.value.children ?? []).map(({ content }) => decodeOid(content)),
);

export function isAuthority(view: CertificateView): boolean {
  return findExtension(view, oids.basicConstraints)?.value.children.at(0)?.content[0] === 0xff;
}

const curveKinds: Readonly<Record<string, SubjectKeyKind>> = {
  [oids.secp256r1]: 'ec-p256',
  [oids.secp384r1]: 'ec-p384',
  [oids.secp521r1]: 'ec-p521',
};

export const keyKindOf = remembered(({ subjectPublicKeyInfo }: CertificateView): SubjectKeyKind | undefined => {
  const [type, parameters] = subjectPublicKeyInfo.children[0].children;
  switch (decodeOid(type.content)) {
    case oids.rsaEncryption:
      return 'rsa';
    case oids.ed25519:
      return 'ed25519';
    case oids.ecPublicKey:
      return curveKinds[decodeOid(parameters.content)];
    default:
      return undefined;
  }
});

/** Names as they are written: text is not normalised, so another spelling is another name. */
export function writtenNames(extension: ExtensionView): GeneralName[] {
  return extension.value.children.map((child) => readWrittenName(child) ?? readGeneralName(child));
}

/** Texts of the URIs in a value, however deep. */
export function urisIn(node: DerNode): string[] {
  if (node.children.length > 0) return node.children.flatMap(urisIn);
  return node.tag === 0x86 ? [node.content.toString('latin1')] : [];
}

export function sameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((each) => right.includes(each));
}
