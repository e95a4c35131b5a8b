import { encodePem } from '@nest-hsm/ca';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { type HsmCommandOptions, print } from '../hsm.command.js';
import { CaToolCommand } from './ca.command.js';
import { certificateText, certificateView, readCertificates } from './certificate-file.js';

interface CaOptions extends HsmCommandOptions {
  readonly ca: string;
  readonly generation?: number;
}

abstract class OneCaCommand extends CaToolCommand {
  @Option({
    flags: '--ca <name>',
    description: 'root, issuing, or a name of the configuration',
    defaultValue: 'issuing',
  })
  parseCa(value: string): string {
    return value;
  }

  @Option({ flags: '--generation <number>', description: "of the issuer's key, for a rollover; 1 when absent" })
  parseGeneration(value: string): number {
    return positive('--generation', value);
  }
}

@SubCommand({
  name: 'csr',
  description:
    "A certification request (PKCS #10) for a CA's key, made if it is missing, for an external CA to certify",
})
export class CaCsrCommand extends OneCaCommand {
  async run(_: string[], options: CaOptions): Promise<void> {
    const der = await this.withCa(options, ({ administration }) =>
      administration.request(options.ca, options.generation),
    );
    const request = encodePem('CERTIFICATE REQUEST', der);
    print({ ca: options.ca, request }, [request.trimEnd()], options);
  }
}

interface ImportOptions extends CaOptions {
  readonly root?: string;
}

@SubCommand({
  name: 'import',
  arguments: '<file...>',
  argsDescription: { file: 'PEM or DER: the certificate, those above it, the root' },
  description:
    'Takes in the certificate that an external CA made for one of ours, if key, rights and every signature hold',
})
export class CaImportCommand extends OneCaCommand {
  @Option({ flags: '--root <sha256>', description: "of the root's certificate; authority.root.sha256 when absent" })
  parseRoot(value: string): string {
    if (/^[0-9a-f]{64}$/i.test(value.replaceAll(':', ''))) return value;
    throw new CliError('ERR_CLI_ARGUMENT', `--root: want a SHA-256 of 64 hexadecimal digits, got ${value}`);
  }

  async run(files: string[], options: ImportOptions): Promise<void> {
    const der = (await Promise.all(files.map(readCertificates))).flat();
    const { ca, generation, root } = options;
    const chain = await this.withCa(options, ({ administration }) =>
      administration.import(ca, der, { generation, rootSha256: root }),
    );
    print(
      { ca, chain: chain.map((each) => certificateView(each.der)) },
      chain.map((each) => certificateText(each.der)),
      options,
    );
  }
}

interface CrossSignOptions extends HsmCommandOptions {
  readonly by: string;
  readonly certificate: string;
  readonly days: number;
}

@SubCommand({
  name: 'cross-sign',
  description: "Certifies another CA's key under its own name, so that its chains lead to our root as well",
})
export class CaCrossSignCommand extends CaToolCommand {
  @Option({ flags: '--by <name>', description: 'the CA of ours that signs', defaultValue: 'root' })
  parseBy(value: string): string {
    return value;
  }

  @Option({ flags: '--certificate <file>', description: "the other CA's certificate, PEM or DER", required: true })
  parseCertificate(value: string): string {
    return value;
  }

  @Option({ flags: '--days <number>', description: 'at most as long as its own', defaultValue: 1825 })
  parseDays(value: string): number {
    return positive('--days', value);
  }

  async run(_: string[], options: CrossSignOptions): Promise<void> {
    const [der] = await readCertificates(options.certificate);
    const { der: crossed } = await this.withCa(options, ({ administration }) =>
      administration.crossSign(options.by, der, options.days),
    );
    print(certificateView(crossed), [encodePem('CERTIFICATE', crossed).trimEnd()], options);
  }
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
export function positive(flag: string, value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw new CliError('ERR_CLI_ARGUMENT', `${flag}: want a number from 1, got ${value}`);
}
