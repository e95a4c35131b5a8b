import { join } from 'node:path';
import { caStores, encodePem, signClusterCsr } from '@nest-hsm/ca';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { type HsmCommandOptions, print } from '../hsm.command.js';
import { CaToolCommand } from './ca.command.js';
import { certificateText, certificateView, readInput, writeOutput, writeOutputOnce } from './certificate-file.js';
import { positive } from './certification.commands.js';

const algorithms = ['rsa-2048', 'rsa-3072', 'rsa-4096'] as const;

interface ClusterOptions extends HsmCommandOptions {
  readonly out: string;
  readonly label: string;
  readonly algorithm: (typeof algorithms)[number];
  readonly commonName: string;
  readonly days: number;
}

@SubCommand({
  name: 'sign-cluster-csr',
  arguments: '<file>',
  argsDescription: { file: 'CLUSTER_ClusterCsr.csr, as AWS CloudHSM gives it' },
  description:
    "Signs the CSR of a new AWS CloudHSM cluster with a key in our HSM: writes customerCA.crt (--trust-anchor) and the cluster's certificate (--signed-cert)",
})
export class CaSignClusterCsrCommand extends CaToolCommand {
  @Option({ flags: '--out <directory>', description: 'where the two files go', defaultValue: '.' })
  parseOut(value: string): string {
    return value;
  }

  @Option({
    flags: '--label <label>',
    description: 'of the key that owns the cluster; made if it is missing',
    defaultValue: 'cluster-owner',
  })
  parseLabel(value: string): string {
    return value;
  }

  @Option({ flags: '--algorithm <name>', description: algorithms.join(', '), defaultValue: 'rsa-2048' })
  parseAlgorithm(value: string): (typeof algorithms)[number] {
    const algorithm = algorithms.find((one) => one === value);
    if (algorithm !== undefined) return algorithm;
    throw new CliError('ERR_CLI_ARGUMENT', `--algorithm: want one of ${algorithms.join(', ')}, got ${value}`);
  }

  @Option({
    flags: '--common-name <name>',
    description: "of the owner's certificate",
    defaultValue: 'CloudHSM cluster owner',
  })
  parseCommonName(value: string): string {
    return value;
  }

  @Option({ flags: '--days <number>', description: 'validity of both', defaultValue: 3652 })
  parseDays(value: string): number {
    return positive('--days', value);
  }

  async run([csrFile]: string[], options: ClusterOptions): Promise<void> {
    const csr = await readInput(csrFile);
    const { label, algorithm, commonName, days: validityDays } = options;
    const { customerCa, cluster } = await this.withCa(options, ({ hsm, dataSource, file }) =>
      signClusterCsr(csr, {
        token: hsm,
        ...caStores(dataSource),
        config: file.ca,
        label,
        algorithm,
        subject: { commonName },
        validityDays,
      }),
    );
    const files = {
      trustAnchor: join(options.out, 'customerCA.crt'),
      signedCert: join(options.out, clusterFile(csrFile)),
    };
    // The owner of a second cluster is the same.
    await writeOutputOnce(files.trustAnchor, encodePem('CERTIFICATE', customerCa));
    await writeOutput(files.signedCert, encodePem('CERTIFICATE', cluster));
    const lines = [
      `${files.trustAnchor}  (--trust-anchor)`,
      certificateText(customerCa),
      `${files.signedCert}  (--signed-cert)`,
      certificateText(cluster),
    ];
    print({ ...files, customerCa: certificateView(customerCa), cluster: certificateView(cluster) }, lines, options);
  }
}

/** As AWS's guide names it. */
function clusterFile(csrFile: string): string {
  const name = csrFile.split('/').at(-1) ?? csrFile;
  return `${name.replace(/(_ClusterCsr)?\.csr$/, '')}_CustomerHsmCertificate.crt`;
}
