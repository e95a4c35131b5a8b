import { isIP } from 'node:net';
import type { Hsm } from '@nest-hsm/hsm';
import { isListedName, makeCertificateRequest, type RequestedNames } from '@nest-hsm/tls-offload';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';

interface CsrOptions extends HsmCommandOptions {
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
}

@SubCommand({
  name: 'csr',
  arguments: '<key>',
  argsDescription: { key: 'label (the newest version is asked for) or pkcs11: URI' },
  description: 'A certification request (PKCS #10) for a key, signed on the token, for any CA to certify',
})
export class TlsCsrCommand extends HsmCommand {
  @Option({ flags: '--dns <name...>', description: 'host names, also with *. in front; the first is the common name' })
  parseDns(value: string, before: readonly string[] = []): readonly string[] {
    if (!isListedName(value)) throw new CliError('ERR_CLI_ARGUMENT', `--dns: want a host name, got ${value}`);
    return [...before, value];
  }

  @Option({ flags: '--ip <address...>', description: 'addresses' })
  parseIp(value: string, before: readonly string[] = []): readonly string[] {
    if (isIP(value) === 0) throw new CliError('ERR_CLI_ARGUMENT', `--ip: want an address, got ${value}`);
    return [...before, value];
  }

  async run([name]: string[], options: CsrOptions): Promise<void> {
    const { dns: dnsNames = [], ip: ipAddresses = [] } = options;
    if (dnsNames.length + ipAddresses.length === 0) {
      throw new CliError('ERR_CLI_ARGUMENT', 'csr: want a name to be certified, by --dns or --ip, got none');
    }
    const request = await this.withHsm(options, (hsm) => requestFor(hsm, name, { dnsNames, ipAddresses }));
    print({ key: name, request }, [request.trimEnd()], options);
  }
}

async function requestFor(hsm: Hsm, name: string, names: RequestedNames): Promise<string> {
  const key = await hsm.findKey(name.startsWith('pkcs11:') ? name : { label: name, usage: 'sign' });
  if (key.usage === 'sign') return makeCertificateRequest(hsm, key, names);
  throw new CliError('ERR_CLI_ARGUMENT', `key ${key.label}: want one that signs, got one to ${key.usage}`);
}
