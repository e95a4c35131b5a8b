import { resolveProfiles } from './profiles.js';
import type { ProfileInput } from './profile-schema.js';

const accepts = (profile: ProfileInput): boolean => {
  try {
    return resolveProfiles({ 'document-signing': profile }).has('document-signing');
  } catch {
    return false;
  }
};

test.each<[purposes: string[], bits: NonNullable<ProfileInput['keyUsage']>, isAccepted: boolean]>([
  [['documentSigning'], ['nonRepudiation'], true],
  [['documentSigning', '1.3.6.1.4.1.55555.9'], ['digitalSignature', 'nonRepudiation'], true],
  [['documentSigning', 'emailProtection'], ['digitalSignature', 'nonRepudiation'], true],
  [['documentSigning', 'clientAuth'], ['digitalSignature'], true],
  [['documentSigning', 'clientAuth'], ['digitalSignature', 'nonRepudiation'], false],
  [['documentSigning', 'codeSigning', '1.3.6.1.4.1.55555.9'], ['digitalSignature', 'nonRepudiation'], false],
  [['documentSigning', 'serverAuth', 'clientAuth'], ['digitalSignature', 'nonRepudiation'], false],
])('%j with %j', (extendedKeyUsage, keyUsage, isAccepted) => {
  expect(accepts({ extendedKeyUsage, keyUsage, keys: ['ec-p256'] })).toBe(isAccepted);
});
