import type { DerNode } from '../der/der-reader.js';
import { contextConstructed, contextPrimitive, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { readTime, viewExtensions } from '../issuance/certificate-view.js';
import { lint, type Rule } from '../issuance/lint.js';
import type { Validity } from '../issuance/tbs-certificate.js';
import { revocationReasons } from '../revocation/revocation-reason.js';
import type { ResponseData, SingleResponse } from './ocsp-response.js';

/** What the response was meant to say, and by whom. */
export interface OcspIntent extends ResponseData {
  /** Of the responder's certificate. */
  readonly responderValidity: Validity;
}

interface ResponseUnderLint {
  readonly fields: readonly DerNode[];
  /** SingleResponse by SingleResponse, each with what it was meant to say. */
  readonly singles: readonly { readonly fields: readonly DerNode[]; readonly intent: SingleResponse }[];
  readonly extensions: ReturnType<typeof viewExtensions>;
  readonly intent: OcspIntent;
}

/** Checks a ResponseData before it is signed. @throws {CaError} ERR_CA_LINT_FAILED listing every rule that does not hold */
export function lintOcspResponse(data: Buffer, intent: OcspIntent): void {
  lint('OCSP response', data, (node) => view(node, intent), ocspRules);
}

function view({ children: fields }: DerNode, intent: OcspIntent): ResponseUnderLint {
  const list = fields[2]?.children ?? [];
  if (list.length !== intent.responses.length) throw new TypeError('want as many responses as meant');
  const singles = list.map(({ children }, index) => ({ fields: children, intent: intent.responses[index] }));
  return { fields, singles, extensions: viewExtensions(fields[3]), intent };
}

type OcspRule = Rule<ResponseUnderLint>;
const rule = (source: string, requires: string, holds: OcspRule['holds']): OcspRule => ({ source, requires, holds });
const ofEach = (source: string, requires: string, holds: (single: ResponseUnderLint['singles'][number], all: ResponseUnderLint) => boolean): OcspRule =>
  rule(source, requires, (all) => all.singles.every((single) => holds(single, all))); // prettier-ignore

/** RFC 6960 §4.2, the profile of RFC 5019 §2.2, and CABF BR §4.9.10. */
const ocspRules: readonly OcspRule[] = [
  rule('RFC 6960 §4.2.1', 'version v1 is left out: the responder id comes first, then producedAt and the responses', ({ fields }) => fields[0].tag === contextConstructed(2) && fields[1].tag === tags.generalizedTime && fields[2].tag === tags.sequence && fields.length <= 4),
  rule('RFC 5019 §2.2.2', 'the responder is named by the SHA-1 of its key', ({ fields, intent }) => fields[0].children[0].tag === tags.octetString && fields[0].children[0].content.length === 20 && fields[0].children[0].content.equals(intent.responderKeyHash)),
  rule('RFC 6960 §4.2.2.1', 'producedAt is in whole seconds and Z, as meant', ({ fields, intent }) => isTime(fields[1], intent.producedAt)),
  rule('RFC 5019 §2.2.1', 'there is a response for each certificate', ({ singles }) => singles.length > 0),
  ofEach('RFC 6960 §4.2.1', 'the CertID is the one meant', ({ fields, intent }) => fields[0].raw.equals(intent.certId)),
  ofEach('RFC 6960 §4.2.1', 'the status is the one meant, and unspecified is not written', ({ fields, intent }) => isStatus(fields[1], intent)),
  ofEach('RFC 6960 §4.2.2.1', 'thisUpdate is in whole seconds and Z, as meant, and not after producedAt', ({ fields, intent }, all) => isTime(fields[2], intent.thisUpdate) && intent.thisUpdate <= all.intent.producedAt),
  ofEach('RFC 5019 §2.2.4', 'nextUpdate is there, in whole seconds and Z, as meant, after producedAt', ({ fields, intent }, all) => fields[3].tag === contextConstructed(0) && isTime(fields[3].children[0], intent.nextUpdate) && intent.nextUpdate > all.intent.producedAt),
  ofEach('RFC 6960 §4.2.1', 'nothing was revoked after thisUpdate', ({ intent }) => intent.revoked === undefined || intent.revoked.revokedAt <= intent.thisUpdate),
  ofEach('RFC 5019 §2.2.1', 'a response has no extensions of its own', ({ fields }) => fields.length === 4),
  ofEach('RFC 6960 §3.2', "the response is no longer valid than its responder's certificate", ({ intent: { nextUpdate } }, { intent: { producedAt, responderValidity } }) => producedAt >= responderValidity.notBefore && nextUpdate <= responderValidity.notAfter),
  ofEach('CABF BR §4.9.10', 'the response is valid for at most ten days', ({ intent: { thisUpdate, nextUpdate } }) => nextUpdate.getTime() - thisUpdate.getTime() <= 10 * 86_400_000),
  rule('RFC 9654 §2.1', 'the nonce is the one of the request, and the only extension', ({ extensions, intent: { nonce } }) => (nonce === undefined ? extensions.length === 0 : extensions.length === 1 && extensions[0].oid === oids.ocspNonce && !extensions[0].critical && extensions[0].value.tag === tags.octetString && extensions[0].value.content.equals(nonce))),
]; // prettier-ignore

function isTime(node: DerNode, meant: Date): boolean {
  return node.tag === tags.generalizedTime && readTime(node)?.getTime() === meant.getTime();
}

function isStatus(node: DerNode, { revoked }: SingleResponse): boolean {
  if (revoked === undefined) return node.tag === contextPrimitive(0) && node.content.length === 0;
  const [time, reason, ...rest] = node.children;
  if (node.tag !== contextConstructed(1) || !isTime(time, revoked.revokedAt) || rest.length > 0) return false;
  if (revoked.reason === 'unspecified') return reason === undefined;
  const [value] = reason.children;
  return (
    reason.tag === contextConstructed(0) &&
    value.tag === tags.enumerated &&
    value.content.equals(Buffer.of(revocationReasons[revoked.reason]))
  );
}
