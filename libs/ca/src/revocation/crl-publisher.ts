import { CaError } from '../errors.js';
import type { IssuerToken, SigningAuthority } from '../issuance/issuer.js';
import { lint } from '../issuance/lint.js';
import { assembleSigned, digestOf, signVerified } from '../issuance/signing.js';
import { backdateMilliseconds } from '../issuance/validity.js';
import type { CaObserver } from '../observer.js';
import type { CrlRecord, CrlStore } from '../store/crl-store.js';
import { encodeTbsCertList } from './crl.js';
import { crlRules, viewCrl } from './crl-rules.js';

export interface CrlContext {
  readonly token: IssuerToken;
  readonly authority: SigningAuthority;
  readonly crls: CrlStore;
  readonly validityHours: number;
  readonly observer: CaObserver;
  readonly now: () => Date;
}

/** A CRL in force. */
export interface PublishedCrl {
  readonly der: Buffer;
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/** Keeps a CRL in force: a new one is made when half of the old one's time has passed, so that none ever lapses. */
export class CrlPublisher {
  #current: PublishedCrl | undefined;

  constructor(private readonly context: CrlContext) {}

  /** The newest CRL known here. @throws {CaError} ERR_CA_NOT_INITIALIZED before the first `refresh` */
  get current(): PublishedCrl {
    if (this.#current === undefined) throw new CaError('ERR_CA_NOT_INITIALIZED', 'CRL: want one signed, got none yet');
    return this.#current;
  }

  /** Takes over what another replica published, and publishes when that is due. Safe to call at any time, by any replica. */
  async refresh(): Promise<void> {
    const { crls, authority, now } = this.context;
    for (const crl of await crls.listSigning(authority.id)) await this.#complete(crl);
    this.#adopt(await crls.newest(authority.id));
    if (this.#current === undefined || isHalfOver(this.#current, now())) await this.#publish();
  }

  /** number → TBSCertList → lint → committed → signed → verified → compared → completed. */
  async #publish(): Promise<void> {
    const { authority, crls, validityHours, observer, now } = this.context;
    const number = (await crls.highestNumber(authority.id)) + 1;
    const start = Math.floor((now().getTime() - backdateMilliseconds) / 1000) * 1000;
    const content = {
      authority,
      number,
      thisUpdate: new Date(start),
      nextUpdate: new Date(start + validityHours * 3_600_000),
    };
    const tbs = encodeTbsCertList(content);
    lint(`CRL ${number}`, tbs, (node) => viewCrl(node, content), crlRules);
    const { thisUpdate, nextUpdate } = content;
    const crl = { issuerId: authority.id, number, tbs, tbsSha256: digestOf(tbs), thisUpdate, nextUpdate };
    // Another replica took the number: it publishes, and the next refresh adopts what it made.
    if (!(await crls.commit(crl))) return;
    observer.step?.('crl-committed', String(number));
    await this.#complete({ ...crl, state: 'signing' });
    this.#adopt(await crls.newest(authority.id));
  }

  async #complete({ number, tbs }: CrlRecord): Promise<void> {
    const { token, authority, crls, observer } = this.context;
    if (tbs === undefined)
      throw new CaError('ERR_CA_STATE_CONFLICT', `CRL ${number}: want a TBS in a signing row, got none`);
    const signature = await signVerified(token, authority, tbs);
    observer.step?.('crl-signed', String(number));
    await crls.complete(authority.id, number, assembleSigned(tbs, authority, signature));
    observer.step?.('crl-completed', String(number));
  }

  #adopt(crl: CrlRecord | undefined): void {
    if (crl?.der === undefined || crl.number <= (this.#current?.number ?? 0)) return;
    const { der, number, thisUpdate, nextUpdate } = crl;
    this.#current = Object.freeze({ der, number, thisUpdate, nextUpdate });
  }
}

function isHalfOver({ thisUpdate, nextUpdate }: PublishedCrl, now: Date): boolean {
  return now.getTime() >= (thisUpdate.getTime() + nextUpdate.getTime()) / 2;
}
