import { CertificateAuthority, caStores } from '@nest-hsm/ca';
import { SubCommand } from 'nest-commander';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { withDatabase } from './ca.command.js';
import { certificateText, certificateView } from './certificate-file.js';
import { readCaFile } from './config.js';

@SubCommand({
  name: 'init',
  description:
    'Makes what is missing of root and issuing CA: keys on the token, certificates, a first CRL. Pin the SHA-256 of the root in authority.root.sha256',
})
export class CaInitCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const file = await readCaFile(options.config);
    const authority = { ...file.ca.authority, initialize: true };
    const [root, issuing] = await this.withHsm(options, (token) =>
      withDatabase(file, async (dataSource) => {
        const ca = await CertificateAuthority.open({
          token,
          ...caStores(dataSource),
          config: { ...file.ca, authority },
        });
        await ca.close();
        return [ca.root.der, ca.issuer.certificate.der];
      }),
    );
    const view = { root: certificateView(root), issuing: certificateView(issuing) };
    print(view, [root, issuing].map(certificateText), options);
  }
}
