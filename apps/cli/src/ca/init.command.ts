import { CertificateAuthority, caStores } from '@nest-hsm/ca';
import { SubCommand } from 'nest-commander';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { withDatabase } from './ca.command.js';
import { certificateText, certificateView } from './certificate-file.js';
import { readCaFile } from './config.js';

@SubCommand({
  name: 'init',
  description:
    'Makes what is missing of root, intermediates and issuers: keys on the token, certificates, first CRLs. Pin the SHA-256 of the root in authority.root.sha256',
})
export class CaInitCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const file = await readCaFile(options.config);
    const authority = { ...file.ca.authority, initialize: true };
    const { root, issuing, cas } = await this.withHsm(options, (token) =>
      withDatabase(file, async (dataSource) => {
        const ca = await CertificateAuthority.open({
          token,
          ...caStores(dataSource),
          config: { ...file.ca, authority },
        });
        await ca.close();
        return { root: ca.root.der, issuing: ca.issuer.certificate.der, cas: everyCa(ca) };
      }),
    );
    const view = {
      root: certificateView(root),
      issuing: certificateView(issuing),
      cas: cas.map(certificateView),
    };
    print(view, cas.map(certificateText), options);
  }
}

/** Each CA above each issuer and the issuer itself, once, the root first. */
function everyCa(ca: CertificateAuthority): Buffer[] {
  const chains = ca.generations.map(({ issuer }) => ca.chainOf(issuer.id).toReversed());
  const byDigest = new Map(chains.flat().map(({ der }) => [der.toString('base64'), der]));
  return [...byDigest.values()];
}
