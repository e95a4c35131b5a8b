import type { OcspResponseKey, OcspStore, PresignCandidate, StoredOcspResponse } from '../store/ocsp-store.js';
import type { RevocationStore } from '../store/revocation-store.js';
import { findCertificateStates } from './certificate-states.js';
import type { OcspSigner } from './ocsp-signer.js';
import { Pace } from './pace.js';

/** Certificates whose rows are looked at in one transaction. */
const pageSize = 1_000;
const maximumBatch = 500;
/** How much of the pace is taken from the database at once: what a killed process took is late by little. */
const batchSeconds = 10;
/** Whoever takes responses to sign has this long; then they are somebody else's. */
const leaseMilliseconds = 120_000;
/** The next run goes on. */
const runMilliseconds = 45_000;
/** At once: issuance waits for the same HSM. */
const concurrency = 4;
/** After its ticket has ended, until a certificate is as good as certainly issued or never will be. */
const settledMilliseconds = 30_000;

export interface PresigningContext {
  readonly revocations: RevocationStore;
  readonly ocsp: OcspStore;
  readonly now: () => Date;
  /** Which certificates get a response before anybody asks; of the others, those that were asked for. */
  readonly presign: 'all' | 'asked';
  readonly presignPerSecond: number;
  /** Of a response. What lives shorter is signed when it is asked for: it needs one only. */
  readonly validityHours: number;
  readonly ticketSeconds: number;
  /** Whether certificates of a profile name a responder. */
  readonly namesResponder: (profile: string) => boolean;
  readonly signers: () => readonly OcspSigner[];
}

/**
 * Signs OCSP responses before they are asked for: of certificates that have none yet, and anew when half of a response's time has
 * passed. Replicas share the work through the database. It keeps to a pace of its own, since nobody waits for it.
 */
export class Presigning {
  readonly #pace: Pace;
  readonly #batch: number;
  #isClosed = false;

  constructor(private readonly context: PresigningContext) {
    this.#pace = new Pace(context.presignPerSecond);
    this.#batch = Math.min(maximumBatch, Math.max(1, context.presignPerSecond * batchSeconds));
  }

  /** What is due, as far as it gets in 45 s. @throws {CaError} @throws {HsmError} what was signed until then is kept */
  async run(): Promise<void> {
    const endsAt = performance.now() + runMilliseconds;
    const mayGoOn = (): boolean => !this.#isClosed && performance.now() < endsAt;
    await this.#signDue(mayGoOn);
    if (this.context.presign === 'asked') return;
    for (let looked = pageSize; looked === pageSize && mayGoOn();) {
      looked = await this.#enlistPage();
      await this.#signDue(mayGoOn);
    }
  }

  /** A run that is under way ends soon. */
  close(): void {
    this.#isClosed = true;
  }

  /** What is enlisted is due at once. @returns how many certificates were looked at */
  async #enlistPage(): Promise<number> {
    const { ocsp, ticketSeconds, signers } = this.context;
    const now = this.context.now();
    const reservedUntil = new Date(now.getTime() - ticketSeconds * 1_000 - settledMilliseconds);
    const inService = new Set(signers().map(({ issuer }) => issuer.id));
    const isWanted = (each: PresignCandidate): boolean =>
      inService.has(each.issuerId) && each.notAfter > now && this.#isWorthwhile(each);
    return ocsp.enlist({ reservedUntil, now, limit: pageSize }, isWanted);
  }

  #isWorthwhile({ profile, notBefore, notAfter }: PresignCandidate): boolean {
    const { validityHours, namesResponder } = this.context;
    return notAfter.getTime() - notBefore.getTime() > validityHours * 3_600_000 && namesResponder(profile);
  }

  async #signDue(mayGoOn: () => boolean): Promise<void> {
    const { ocsp, now } = this.context;
    for (const signer of this.context.signers()) {
      for (let taken = this.#batch; taken === this.#batch && mayGoOn();) {
        const from = now();
        const until = new Date(from.getTime() + leaseMilliseconds);
        const due = await ocsp.takeDue(signer.issuer.id, from, until, this.#batch);
        await this.#signBatch(signer, due);
        taken = due.length;
      }
    }
  }

  async #signBatch(signer: OcspSigner, due: readonly OcspResponseKey[]): Promise<void> {
    const queue = [...due];
    const fresh: StoredOcspResponse[] = [];
    const work = async (): Promise<void> => {
      for (let key = queue.pop(); key !== undefined && !this.#isClosed; key = queue.pop()) {
        const [state] = await findCertificateStates(this.context, key.issuerId, [key.serial]);
        if (state === undefined) {
          await this.context.ocsp.remove(key.issuerId, key.serial);
          continue;
        }
        await this.#pace.turn();
        fresh.push(await signer.presign(state, key.hash));
      }
    };
    try {
      const failed = (await Promise.allSettled(Array.from({ length: concurrency }, work))).find(isRejected);
      if (failed !== undefined) throw failed.reason;
    } finally {
      if (fresh.length > 0) await this.context.ocsp.save(signer.issuer.id, fresh);
    }
  }
}

function isRejected(result: PromiseSettledResult<void>): result is PromiseRejectedResult {
  return result.status === 'rejected';
}
