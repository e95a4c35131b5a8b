import { CertificateAuthority, caStores } from '@nest-hsm/ca';
import { Option, SubCommand } from 'nest-commander';
import { type HsmCommandOptions, print } from '../hsm.command.js';
import { CaToolCommand } from './ca.command.js';
import { certificateText, certificateView } from './certificate-file.js';
import { parseTime } from './time.js';

/** Long enough for every replica to take over the new generation, which it does within a minute. */
const leadMilliseconds = 3_600_000;

interface RolloverOptions extends HsmCommandOptions {
  readonly issuer: string;
  readonly at?: Date;
}

@SubCommand({
  name: 'rollover',
  description:
    'Makes the next generation of an issuer: key, certificate, first CRL. It signs from a time on; the old one keeps its CRL and OCSP until its last certificate expires',
})
export class CaRolloverCommand extends CaToolCommand {
  @Option({ flags: '--issuer <name>', description: 'issuing, or a name of authority.issuers', defaultValue: 'issuing' })
  parseIssuer(value: string): string {
    return value;
  }

  @Option({ flags: '--at <time>', description: 'RFC 3339: from when on it signs; in an hour when absent' })
  parseAt(value: string): Date {
    return parseTime('--at', value);
  }

  async run(_: string[], options: RolloverOptions): Promise<void> {
    const at = options.at ?? new Date(Date.now() + leadMilliseconds);
    const generation = await this.withCa(options, async ({ administration, hsm, dataSource, file }) => {
      const record = await administration.rollOver(options.issuer, at);
      // Its first CRL is there before it signs anything.
      const authority = await CertificateAuthority.open({ token: hsm, ...caStores(dataSource), config: file.ca });
      const made = authority.generations.find(({ issuer }) => issuer.id === record.issuerId);
      await authority.close();
      return { ...record, der: made?.issuer.certificate.der };
    });
    const { name, generation: number, activeFrom, der = Buffer.alloc(0) } = generation;
    print(
      { name, generation: number, activeFrom: activeFrom.toISOString(), ...certificateView(der) },
      [`${name}, generation ${number}, signs from ${activeFrom.toISOString()}`, certificateText(der)],
      options,
    );
  }
}
