import { CaError, isCaError } from '../errors.js';
import type { IssuerToken, SigningAuthority } from '../issuance/issuer.js';
import { lint } from '../issuance/lint.js';
import { assembleSigned, digestOf, signVerified } from '../issuance/signing.js';
import { backdateMilliseconds } from '../issuance/validity.js';
import type { CaObserver } from '../observer.js';
import type { CrlRecord, CrlStore } from '../store/crl-store.js';
import { type CrlContent, encodeTbsCertList } from './crl.js';
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
    await this.#completeAll();
    if (this.#current === undefined || isDue(this.#current, this.context.now())) await this.#publish();
  }

  /** number → TBSCertList → lint → committed → signed → verified → compared → completed. */
  async #publish(): Promise<void> {
    const { authority, crls, observer, now } = this.context;
    const number = (await crls.highestNumber(authority.id)) + 1;
    const content = this.#contentOf(number, new Date(now().getTime() - backdateMilliseconds));
    const tbs = encodeTbsCertList(content);
    lintCrl(tbs, content);
    const { thisUpdate, nextUpdate } = content;
    const crl = { issuerId: authority.id, number, tbs, tbsSha256: digestOf(tbs), thisUpdate, nextUpdate };
    if (await crls.commit(crl)) observer.step?.('crl-committed', String(number));
    // If another replica took the number first, its TBS is completed: whoever signs it, it is the same CRL.
    await this.#completeAll();
  }

  /** A CRL that is refused is reported and left behind: a later number takes its place. */
  async #completeAll(): Promise<void> {
    const { authority, crls, observer } = this.context;
    for (const crl of await crls.listSigning(authority.id)) {
      try {
        await this.#complete(crl);
      } catch (error) {
        if (!isCaError(error, 'ERR_CA_RECOVERY_REFUSED')) throw error;
        observer.jobFailed?.('crl', error);
      }
    }
    this.#adopt(await crls.newest(authority.id));
  }

  /** As with certificates, a row of the database is no leave to sign: its TBS is linted once more. */
  async #complete({ number, tbs, tbsSha256, thisUpdate }: CrlRecord): Promise<void> {
    const { token, authority, crls, observer } = this.context;
    try {
      if (tbs === undefined || digestOf(tbs) !== tbsSha256) throw new TypeError('another SHA-256');
      lintCrl(tbs, this.#contentOf(number, thisUpdate));
    } catch (error) {
      const message = `unfinished CRL ${number}: want a TBS that would be published today, got ${(error as Error).message}`;
      throw new CaError('ERR_CA_RECOVERY_REFUSED', message, { cause: error });
    }
    const signature = await signVerified(token, authority, tbs);
    observer.step?.('crl-signed', String(number));
    await crls.complete(authority.id, number, assembleSigned(tbs, authority, signature));
    observer.step?.('crl-completed', String(number));
  }

  #contentOf(number: number, from: Date): CrlContent {
    const { authority, validityHours } = this.context;
    const start = Math.floor(from.getTime() / 1000) * 1000;
    return { authority, number, thisUpdate: new Date(start), nextUpdate: new Date(start + validityHours * 3_600_000) };
  }

  #adopt(crl: CrlRecord | undefined): void {
    if (crl?.der === undefined || crl.number <= (this.#current?.number ?? 0)) return;
    const { der, number, thisUpdate, nextUpdate } = crl;
    this.#current = Object.freeze({ der, number, thisUpdate, nextUpdate });
  }
}

/** @throws {CaError} ERR_CA_LINT_FAILED */
function lintCrl(tbs: Buffer, content: CrlContent): void {
  lint(`CRL ${content.number}`, tbs, (node) => viewCrl(node, content), crlRules);
}

/** Half over; or of the future, since the clock was wrong when it was made and nobody takes it now. */
function isDue({ thisUpdate, nextUpdate }: PublishedCrl, now: Date): boolean {
  return now < thisUpdate || now.getTime() >= (thisUpdate.getTime() + nextUpdate.getTime()) / 2;
}
