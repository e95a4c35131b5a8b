// The sidecar's certificate is verified with the CA's root as the only trust, and its key is the token's.
import { createPublicKey, X509Certificate } from 'node:crypto';
import { configFile, rootCertificate } from '../workspace/paths.mjs';
import { green, line } from '../workspace/terminal.mjs';
import { sidecarKeyLabel } from './app-configs.mjs';
import { nestHsm } from './keys.mjs';
import { tool, verify } from './tool.mjs';

export async function checkTls({ sidecar }) {
  const handshake = async (version, flag) => {
    const { stdout, stderr } = await tool`openssl s_client -connect 127.0.0.1:${sidecar} -servername localhost
      -verify_hostname localhost -verify_return_error -no-CApath -no-CAstore -CAfile ${rootCertificate} ${flag}`;
    const verified = stdout.includes('Verify return code: 0 (ok)') && stdout.includes(version);
    verify(verified, `openssl s_client to verify a ${version} handshake`, `${stdout}${stderr}`.trim());
    line(green('✓'), 'openssl s_client', `${version}, verified with the CA's root as the only trust`);
    return stdout;
  };
  const said = await handshake('TLSv1.3', '-tls1_3');
  await handshake('TLSv1.2', '-tls1_2');
  await checkKey(said);
}

/** The public key of the certificate that came over the wire is the one whose private half is in the token. */
async function checkKey(said) {
  const spki = (key) => key.export({ type: 'spki', format: 'pem' });
  const onTheWire = spki(new X509Certificate(said).publicKey);
  const shown = await nestHsm`key show ${sidecarKeyLabel} --config ${configFile('tls-sidecar')}`;
  const onTheToken = spki(createPublicKey(shown.stdout));
  verify(onTheWire === onTheToken, `the certificate's key to be key ${sidecarKeyLabel} of fleet tls`, onTheWire);
  line(green('✓'), 'nest-hsm key', `the served certificate's key is "${sidecarKeyLabel}" in fleet "tls"`);
}
