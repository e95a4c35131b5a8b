import {
  CertificateAuthority,
  caStores,
  crlFileName,
  type CrlWatch,
  type RevocationReason,
  type Revoked,
  type RevokeKeyOptions,
  type SameKey,
} from '@nest-hsm/ca';
import { Option, SubCommand } from 'nest-commander';
import { columns, type HsmCommandOptions, print } from '../hsm.command.js';
import { CaToolCommand } from './ca.command.js';
import { parseTime } from './time.js';

interface RevokeCommandOptions extends HsmCommandOptions {
  readonly reason?: string;
  readonly invalidityDate?: Date;
  readonly release?: boolean;
  readonly sameKey?: boolean;
}

@SubCommand({
  name: 'revoke',
  arguments: '<serial>',
  description:
    "Revokes a certificate, the CA's own among them, or puts it on hold (--reason certificateHold), and publishes the CRLs that say so",
})
export class CaRevokeCommand extends CaToolCommand {
  @Option({
    flags: '--reason <reason>',
    description: 'of RFC 5280 §5.3.1, e.g. keyCompromise; unspecified when absent',
  })
  parseReason(value: string): string {
    return value;
  }

  @Option({ flags: '--invalidity-date <time>', description: 'RFC 3339: since when the key is suspected' })
  parseInvalidityDate(value: string): Date {
    return parseTime('--invalidity-date', value);
  }

  @Option({ flags: '--release', description: 'releases a certificate that is on hold' })
  parseRelease(): boolean {
    return true;
  }

  @Option({
    flags: '--same-key',
    description: 'with --reason keyCompromise: revokes every other certificate of its key too, whichever CA issued it',
  })
  parseSameKey(): boolean {
    return true;
  }

  async run([serial]: string[], options: RevokeCommandOptions): Promise<void> {
    const { invalidityDate, release, sameKey } = options;
    const reason = options.reason as RevocationReason | undefined;
    const record = await this.withCa<Revoked>(options, async ({ hsm, dataSource, file }) => {
      const authority = await CertificateAuthority.open({ token: hsm, ...caStores(dataSource), config: file.ca });
      try {
        const who = { requester: 'nest-hsm', includesOwn: true };
        const changed = release
          ? await authority.status.release(serial, who)
          : await revokeAll(authority, serial, { ...who, reason, invalidityDate, sameKey });
        await authority.status.refreshCrls();
        return changed;
      } finally {
        await authority.close();
      }
    });
    const { state, revokedAt, sameKey: others } = record;
    const view = { serial: record.serial, state, reason: record.reason, revokedAt: revokedAt.toISOString() };
    const line = `${record.serial}  ${state}  ${record.reason}  ${view.revokedAt}`;
    if (others === undefined) print(view, [line], options);
    else print({ ...view, sameKey: others }, [line, ...linesOf(others)], options);
  }
}

/** A page at a time, until there are no others of its key. */
async function revokeAll(
  { status }: CertificateAuthority,
  serial: string,
  options: RevokeKeyOptions,
): Promise<Revoked> {
  const revoked: string[] = [];
  for (;;) {
    const record = await status.revoke(serial, options);
    if (record.sameKey === undefined) return record;
    revoked.push(...record.sameKey.revoked);
    const { remaining } = record.sameKey;
    if (remaining === 0 || record.sameKey.revoked.length === 0) return { ...record, sameKey: { revoked, remaining } };
  }
}

function linesOf({ revoked, remaining }: SameKey): string[] {
  const lines = revoked.map((serial) => `${serial}  same key`);
  return remaining === 0 ? lines : [...lines, `${remaining} more of the same key: revoke them with --same-key`];
}

interface CrlCommandOptions extends HsmCommandOptions {
  readonly renew?: boolean;
}

@SubCommand({ name: 'crl', description: 'Publishes every CRL that is due or has news, and says how each one stands' })
export class CaCrlCommand extends CaToolCommand {
  @Option({
    flags: '--renew',
    description:
      "makes the next CRL of every CA whose key is on the token, due or not: after the root's key was brought back",
  })
  parseRenew(): boolean {
    return true;
  }

  async run(_: string[], options: CrlCommandOptions): Promise<void> {
    const watch = await this.withCa(options, async ({ hsm, dataSource, file }) => {
      const authority = await CertificateAuthority.open({ token: hsm, ...caStores(dataSource), config: file.ca });
      try {
        await (options.renew ? authority.status.renewCrls() : authority.status.refreshCrls());
        return authority.status.watch();
      } finally {
        await authority.close();
      }
    });
    const head = ['issuer', 'CRL', 'number', 'entries', 'next update', 'condition'];
    print(watch, columns([head, ...watch.map(row)]), options);
  }
}

function row(crl: CrlWatch): string[] {
  const { issuerId, number, entries, nextUpdate, condition, isKept } = crl;
  const how = isKept ? `${condition}, key not here` : condition;
  return [issuerId, crlFileName(crl), String(number), String(entries), nextUpdate.toISOString(), how];
}
