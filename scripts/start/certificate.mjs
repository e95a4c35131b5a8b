// A CSR made by openssl becomes a certificate, and openssl says whether it is a good one.
import { mkdirSync } from 'node:fs';
import { relative } from 'node:path';
import { authorizationHeaderFile, outputFile, root, rootCertificate } from '../workspace/paths.mjs';
import { dim, green, line } from '../workspace/terminal.mjs';
import { exampleName } from './app-configs.mjs';
import { tool, verify } from './tool.mjs';

const key = outputFile('device.key');
const csr = outputFile('device.csr');
const chain = outputFile('device.pem');
const crl = outputFile('crl.pem');

export async function issueCertificate({ ca }) {
  mkdirSync(outputFile(''), { recursive: true, mode: 0o700 });
  const url = `http://127.0.0.1:${ca}`;
  await tool`curl --silent --show-error --fail --output ${rootCertificate} ${url}/v1/ca/root.pem`;
  await tool`curl --silent --show-error --fail --output ${crl} ${url}/v1/crl.pem`;

  await tool`openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${key} -out ${csr}
    -subj /CN=${exampleName} -addext subjectAltName=DNS:${exampleName}`;
  line(green('✓'), 'openssl req', `a key and a CSR for ${exampleName} ${dim(relative(root, csr))}`);

  // The user's token is in a file, so that it is never in an argument list.
  await tool`curl --silent --show-error --fail-with-body --header @${authorizationHeaderFile}
    --header Content-Type:application/x-pem-file --header Accept:application/pem-certificate-chain
    --data-binary @${csr} --output ${chain} ${url}/v1/certificates?profile=tls-server`;
  line(green('✓'), 'POST', `/v1/certificates?profile=tls-server ${dim(relative(root, chain))}`);
  const { stdout: facts } = await tool`openssl x509 -in ${chain} -noout -subject -issuer -serial -enddate`;
  for (const fact of facts.trim().split('\n')) line(' ', '', dim(fact));

  const { stdout } = await tool`openssl verify -x509_strict -purpose sslserver -verify_hostname ${exampleName}
    -no-CApath -no-CAstore -CAfile ${rootCertificate} -untrusted ${chain} -crl_check -CRLfile ${crl} ${chain}`;
  verify(stdout.trim() === `${chain}: OK`, `"${chain}: OK" from openssl verify`, stdout.trim());
  line(green('✓'), 'openssl verify', 'OK: chain to the root, host name, purpose, not on the CRL');
}
