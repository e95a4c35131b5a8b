import { X509Certificate } from 'node:crypto';
import { Module } from '@nestjs/common';
import { CertificateAuthority, caStores, openCaDatabase } from '@nest-hsm/ca';
import type { Hsm } from '@nest-hsm/hsm';
import { Command, SubCommand } from 'nest-commander';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { type CaFile, readCaFile } from './config.js';

@SubCommand({
  name: 'init',
  description: 'Makes what is missing of root and issuing CA: keys on the token, certificates, a first CRL',
})
export class CaInitCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const file = await readCaFile(options.config);
    const [issuing, root] = await this.withHsm(options, (hsm) => initialize(hsm, file));
    const lines = [root, issuing].map(
      ({ subject, validTo, fingerprint256 }) =>
        `${subject.replaceAll('\n', ', ')}\n  valid to ${validTo}\n  SHA-256 ${fingerprint256}`,
    );
    print({ root: describe(root), issuing: describe(issuing) }, lines, options);
  }
}

@Command({ name: 'ca', description: 'The certificate authority', subCommands: [CaInitCommand] })
export class CaCommand extends NounCommand {}

@Module({ providers: [CaCommand, CaInitCommand] })
export class CaCommands {}

/** @returns the issuing certificate and the root's */
async function initialize(hsm: Hsm, { database, ca }: CaFile): Promise<X509Certificate[]> {
  const dataSource = await openCaDatabase(database);
  try {
    const authority = await CertificateAuthority.open({
      token: hsm,
      ...caStores(dataSource),
      config: { ...ca, authority: { ...ca.authority, initialize: true } },
    });
    await authority.close();
    return authority.chain.map(({ der }) => new X509Certificate(der));
  } finally {
    await dataSource.destroy();
  }
}

function describe(certificate: X509Certificate): Record<string, string> {
  const { subject, serialNumber, validTo, fingerprint256 } = certificate;
  const notAfter = new Date(validTo).toISOString();
  return { subject, serial: serialNumber.toLowerCase(), notAfter, fingerprint256, certificate: certificate.toString() };
}
