import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { caStores, encodePem, holdCeremony, type VerifiedCeremony, verifyTranscript } from '@nest-hsm/ca';
import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { withDatabase } from './ca.command.js';
import { certificateText, certificateView, readCertificates, readInput, writeOutputOnce } from './certificate-file.js';
import { readCeremonyFile } from './config.js';

interface RunOptions extends HsmCommandOptions {
  readonly transcript: string;
  readonly out?: string;
}

@SubCommand({
  name: 'run',
  description:
    'Makes every CA of a script (YAML): keys in the HSM, certificates, and a transcript that the root key signs. Goes on where a crash left it; never uses a key that was there before',
})
export class CeremonyRunCommand extends HsmCommand {
  @Option({ flags: '-t, --transcript <file>', description: 'written, or continued', required: true })
  parseTranscript(value: string): string {
    return value;
  }

  @Option({ flags: '--out <directory>', description: 'writes each certificate there, NAME.crt' })
  parseOut(value: string): string {
    return value;
  }

  async run(_: string[], options: RunOptions): Promise<void> {
    const { title, witnesses, ...file } = await readCeremonyFile(options.config);
    const scriptSha256 = createHash('sha256')
      .update(await readInput(options.config))
      .digest('hex');
    const ceremony = await this.withHsm(options, (hsm) =>
      withDatabase(file, (dataSource) =>
        holdCeremony({
          token: hsm,
          ...caStores(dataSource),
          config: file.ca,
          title,
          witnesses,
          scriptSha256,
          transcript: options.transcript,
        }),
      ),
    );
    if (options.out !== undefined) await writeCertificates(ceremony, options.out);
    print(view(ceremony), text(ceremony), options);
  }
}

interface VerifyOptions {
  readonly root: string;
  readonly out?: string;
  readonly json?: boolean;
}

@SubCommand({
  name: 'verify',
  arguments: '<transcript>',
  description:
    "Goes through a ceremony again, with its transcript and the root's certificate alone. Offline. Ends with 1 unless all of it holds and it was finished",
})
export class CeremonyVerifyCommand extends CommandRunner {
  @Option({
    flags: '--root <file>',
    description: "the root's certificate, PEM or DER, got by another way",
    required: true,
  })
  parseRoot(value: string): string {
    return value;
  }

  @Option({ flags: '--out <directory>', description: 'writes each certificate there, NAME.crt' })
  parseOut(value: string): string {
    return value;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  async run([transcript]: string[], options: VerifyOptions): Promise<void> {
    const [root] = await readCertificates(options.root);
    const ceremony = verifyTranscript(await readInput(transcript), root);
    if (options.out !== undefined) await writeCertificates(ceremony, options.out);
    print(view(ceremony), text(ceremony), options);
    if (ceremony.ended === undefined) process.exitCode = 1;
  }
}

export const ceremonyVerbs = [CeremonyRunCommand, CeremonyVerifyCommand];

@Command({
  name: 'ceremony',
  description: "The making of a CA's keys and certificates, with a signed transcript",
  subCommands: ceremonyVerbs,
})
export class CeremonyCommand extends NounCommand {}

async function writeCertificates({ cas }: VerifiedCeremony, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const { name, certificate } of cas) {
    await writeOutputOnce(join(directory, `${name}.crt`), encodePem('CERTIFICATE', certificate.der));
  }
}

function view({ cas, ...ceremony }: VerifiedCeremony): object {
  return { ...ceremony, cas: cas.map(({ certificate, ...ca }) => ({ ...ca, ...certificateView(certificate.der) })) };
}

function text({ title, witnesses, begun, ended, cas }: VerifiedCeremony): string[] {
  return [
    title,
    ...witnesses.map((witness) => `  witness ${witness}`),
    `  begun ${begun}`,
    ended === undefined ? '  NOT FINISHED' : `  ended ${ended}`,
    ...cas.map(
      ({ name, label, algorithm, certificate }) =>
        `${name}: key ${label}, ${algorithm}\n${certificateText(certificate.der)}`,
    ),
  ];
}
