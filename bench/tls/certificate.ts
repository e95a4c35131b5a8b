import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyObject } from 'node:crypto';

/**
 * A throw-away root and a certificate for `localhost` over a public key whose private half nobody here has, by openssl.
 * @returns paths of PEM files in the directory
 */
export function issueCertificate(
  directory: string,
  publicKey: KeyObject,
): { rootFile: string; certificateFile: string } {
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const [rootFile, rootKey, certificateFile] = [file('root.pem'), file('root.key'), file('server.pem')];
  // Of RSA, as most roots are that clients trust, and as clients verify fastest.
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    rootKey,
    '-out',
    rootFile,
    '-subj',
    '/CN=bench root',
    '-days',
    '2',
  );

  writeFileSync(file('public.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(file('extensions'), 'subjectAltName=DNS:localhost\n');
  const issuer = ['-CA', rootFile, '-CAkey', rootKey, '-extfile', file('extensions'), '-days', '2'];
  const subject = ['-subj', '/CN=localhost', '-force_pubkey', file('public.pem')];
  openssl('x509', '-new', ...subject, ...issuer, '-out', certificateFile);
  return { rootFile, certificateFile };
}
