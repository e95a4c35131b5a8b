import { relative } from 'node:path';
import { authorizationHeaderFile, configFile, outputFile, root, rootCertificate } from '../workspace/paths.mjs';
import { bold, dim, say } from '../workspace/terminal.mjs';

const short = (path) => relative(root, path);

/** What runs, and three commands to go on with; each can be pasted into another terminal as it stands. */
export function invite({ ca, sidecar, records }) {
  say(`
${bold('It stays up until Ctrl-C.')}
  records through HTTPS  https://localhost:${sidecar}/records ${dim(`(trust ${short(rootCertificate)})`)}
  CA                     http://127.0.0.1:${ca} ${dim('(API page: /docs)')}
  records, behind TLS    http://127.0.0.1:${records} ${dim('(API page: /docs)')}

${bold('Try, in another terminal in this folder:')}
  curl --cacert ${short(rootCertificate)} https://localhost:${sidecar}/records
  openssl s_client -connect localhost:${sidecar} -CAfile ${short(rootCertificate)} -brief </dev/null
  npm run --silent nest-hsm -- key list --config ${short(configFile('tls-sidecar'))}
${dim(`And another certificate: curl -H @${short(authorizationHeaderFile)} -H Content-Type:application/x-pem-file --data-binary @${short(outputFile('device.csr'))} 'http://127.0.0.1:${ca}/v1/certificates?profile=tls-server'`)}`);
}
