import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  crlDistributionPoints,
  extendedKeyUsage,
  keyUsage,
} from '../../libs/ca/src/issuance/extensions.js';
import { type CertificateOrder, encodeOrder } from '../../libs/ca/src/issuance/certificate-order.js';
import { signatureAlgorithms } from '../../libs/ca/src/issuance/signature-algorithm.js';
import { encodeDistinguishedName } from '../../libs/ca/src/name/distinguished-name.js';
import { dnsName } from '../../libs/ca/src/name/general-name.js';
import { resolveProfiles } from '../../libs/ca/src/profile/profiles.js';
import { perform } from '../harness/process.js';
import { makeFor, type TbsResult, type TbsTask } from './tbs.js';

perform<TbsTask, TbsResult>(async ({ seconds }) => {
  const profile = resolveProfiles().get('tls-server');
  if (profile === undefined) throw new Error('bench: want the profile tls-server');
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subjectPublicKeyInfo = publicKey.export({ format: 'der', type: 'spki' });
  const keyIdentifier = randomBytes(20);
  const authority = {
    id: keyIdentifier.toString('hex'),
    name: encodeDistinguishedName({ commonName: 'Bench Issuing CA' }),
    publicKey,
    subjectPublicKeyInfo,
    keyIdentifier,
    signatureAlgorithm: signatureAlgorithms['ec-p256'],
  } as CertificateOrder['authority'];
  const order = (): CertificateOrder => ({
    authority,
    profile,
    subject: encodeDistinguishedName({ commonName: 'www.example.test' }),
    subjectPublicKeyInfo,
    names: [dnsName('www.example.test'), dnsName('example.test')],
    validity: { notBefore: new Date(), notAfter: new Date(Date.now() + 90 * 86_400_000) },
    fixedExtensions,
    requester: 'bench',
  });
  const fixedExtensions = [
    keyUsage(profile.keyUsage),
    extendedKeyUsage(profile.extendedKeyUsage),
    basicConstraints(undefined),
    authorityKeyIdentifier(keyIdentifier),
    authorityInfoAccess({ caIssuers: ['http://ca.example.test/issuing.der'] }),
    crlDistributionPoints(['http://ca.example.test/crl.der']),
  ];
  return makeFor(seconds, () => encodeOrder(order(), randomBytes(16)));
});
