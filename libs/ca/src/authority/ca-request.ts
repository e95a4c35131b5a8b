import type { HsmKey } from '@nest-hsm/hsm';
import { contextConstructed, der, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import {
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  nameConstraints,
  subjectKeyIdentifier,
} from '../issuance/extensions.js';
import { signingAuthority } from '../issuance/issuer.js';
import { assembleSigned } from '../issuance/signing.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { NameConstraints } from '../profile/name-constraints.js';
import type { ConfiguredCa } from './configured-ca.js';
import type { HierarchyContext } from './hierarchy.js';
import { signDocument } from './signed-document.js';

/**
 * A certification request for one of our CAs, signed on the token, for a CA elsewhere to certify (RFC 2986). It asks for the
 * extensions that the configuration wants.
 * @returns DER of the CertificationRequest
 * @throws as `signDocument`
 */
export async function requestFor(context: HierarchyContext, ca: ConfiguredCa, key: HsmKey): Promise<Buffer> {
  const authority = signingAuthority(key, encodeDistinguishedName(ca.subject));
  const extensions = [
    basicConstraints({ pathLength: ca.pathLength }),
    keyUsage(['keyCertSign', 'cRLSign']),
    subjectKeyIdentifier(authority.keyIdentifier),
    ...(ca.extendedKeyUsage === undefined ? [] : [extendedKeyUsage(ca.extendedKeyUsage)]),
    ...(ca.nameConstraints === undefined ? [] : [nameConstraints(NameConstraints.of(ca.nameConstraints))]),
  ];
  const info = der((writer) =>
    writer.sequence(() => {
      writer.integer(0).raw(authority.name).raw(authority.subjectPublicKeyInfo);
      writer.constructed(contextConstructed(0), () =>
        writer.sequence(() => {
          writer.oid(oids.extensionRequest);
          writer.constructed(tags.set, () =>
            writer.sequence(() => {
              for (const extension of extensions) writer.raw(extension);
            }),
          );
        }),
      );
    }),
  );
  return assembleSigned(info, authority, await signDocument(context, authority, 'request', info));
}
