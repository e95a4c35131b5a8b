import { contextConstructed, contextPrimitive, der, DerWriter, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { extension } from '../issuance/extensions.js';
import { type RevocationReason, revocationReasons } from '../revocation/revocation-reason.js';

/** OCSPResponseStatus (RFC 6960 §4.2.1); 4 is not used, and who asks need not sign. */
const errorStatuses = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const;
export type OcspErrorStatus = keyof typeof errorStatuses;

/** CertStatus; undefined: good. */
export interface RevokedInfo {
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
}

export interface SingleResponse {
  /** DER of the CertID. */
  readonly certId: Buffer;
  readonly revoked: RevokedInfo | undefined;
  /** Whole seconds, as are all times. */
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

export interface ResponseData {
  /** SHA-1 of the responder's public key, 20 octets (ResponderID byKey). */
  readonly responderKeyHash: Buffer;
  readonly producedAt: Date;
  readonly responses: readonly SingleResponse[];
  readonly nonce?: Buffer;
}

/** DER of the ResponseData that is signed: version v1 is left out, times are GeneralizedTime in whole seconds (RFC 6960 §4.2.2). */
export function encodeResponseData({ responderKeyHash, producedAt, responses, nonce }: ResponseData): Buffer {
  return der((writer) =>
    writer.sequence(() => {
      writer.constructed(contextConstructed(2), () => writer.octetString(responderKeyHash));
      writer.generalizedTime(producedAt);
      writer.sequence(() => {
        for (const response of responses) writeSingleResponse(writer, response);
      });
      if (nonce === undefined) return;
      writer.constructed(contextConstructed(1), () =>
        writer.sequence(() => writer.raw(extension(oids.ocspNonce, false, (value) => value.octetString(nonce)))),
      );
    }),
  );
}

function writeSingleResponse(writer: DerWriter, { certId, revoked, thisUpdate, nextUpdate }: SingleResponse): void {
  writer.sequence(() => {
    writer.raw(certId);
    if (revoked === undefined) writer.primitive(contextPrimitive(0), new Uint8Array(0));
    else writeRevokedInfo(writer, revoked);
    writer.generalizedTime(thisUpdate);
    writer.constructed(contextConstructed(0), () => writer.generalizedTime(nextUpdate));
  });
}

/** The reason unspecified is left out, as in a CRL (RFC 5280 §5.3.1). */
function writeRevokedInfo(writer: DerWriter, { revokedAt, reason }: RevokedInfo): void {
  writer.constructed(contextConstructed(1), () => {
    writer.generalizedTime(revokedAt);
    if (reason === 'unspecified') return;
    writer.constructed(contextConstructed(0), () =>
      writer.primitive(tags.enumerated, Uint8Array.of(revocationReasons[reason])),
    );
  });
}

/** At most what a response has besides its three long parts. */
const overheadBytes = 96;

/** A successful OCSPResponse with a BasicOCSPResponse that carries the responder's certificate. */
export function encodeOcspResponse(data: Buffer, algorithm: Buffer, signature: Buffer, certificate: Buffer): Buffer {
  const writer = new DerWriter(data.length + signature.length + certificate.length + overheadBytes);
  const writeBasic = (): void => {
    writer.raw(data).raw(algorithm).bitString(signature);
    writer.constructed(contextConstructed(0), () => writer.sequence(() => writer.raw(certificate)));
  };
  writer.sequence(() => {
    writer.primitive(tags.enumerated, Uint8Array.of(0));
    writer.constructed(contextConstructed(0), () =>
      writer.sequence(() => writer.oid(oids.ocspBasic).octetStringOf(() => writer.sequence(writeBasic))),
    );
  });
  return writer.finish();
}

/** An unsigned OCSPResponse of one status. */
export function encodeOcspError(status: OcspErrorStatus): Buffer {
  return der((writer) =>
    writer.sequence(() => writer.primitive(tags.enumerated, Uint8Array.of(errorStatuses[status]))),
  );
}
