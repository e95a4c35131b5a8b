import { createHash } from 'node:crypto';
import { certificateKeyId } from '../authority/ca-key.js';
import type { Issuer } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';
import type { ExpiringCertificate, ExpiryPosition, ExpiryStore } from '../store/expiry-store.js';
import type { Webhook } from './webhook.js';

/** Certificates of one notice. */
const noticeSize = 100;
/** Notices of one run and distance; the next run goes on. */
const maximumNotices = 50;
const dayMilliseconds = 86_400_000;

export interface ExpiryScanContext {
  readonly expiries: ExpiryStore;
  /** Distances, in days. */
  readonly noticeDays: readonly number[];
  readonly webhook?: Webhook;
  readonly observer: CaObserver;
  readonly now: () => Date;
  readonly issuers: () => readonly Issuer[];
}

/**
 * Tells of each certificate once for each distance to its expiry: those of every issuer in service, and the CAs' own. A position moves
 * on when a notice has been delivered, so that a crash in between repeats one notice and loses none, and two replicas that scan at once
 * repeat it too. A certificate that lives less than twice the distance is left out: it is renewed by a machine.
 */
export async function scanExpiries(context: ExpiryScanContext): Promise<void> {
  for (const issuerId of authorityIds(context.issuers())) {
    for (const withinDays of context.noticeDays) await scan(context, issuerId, withinDays);
  }
}

/** Issuers, and the CAs above them, which issued theirs. */
function authorityIds(issuers: readonly Issuer[]): Set<string> {
  const ids = issuers.flatMap(({ chain }) => chain.slice(1).map(certificateKeyId));
  return new Set([...issuers.map(({ id }) => id), ...ids]);
}

async function scan(context: ExpiryScanContext, issuerId: string, withinDays: number): Promise<void> {
  const { expiries, now } = context;
  const until = new Date(now().getTime() + withinDays * dayMilliseconds);
  let from = await expiries.position(issuerId, withinDays);
  for (let notices = 0; notices < maximumNotices; notices += 1) {
    // What has expired before the first scan is nobody's news.
    const after: ExpiryPosition = from ?? { notAfter: now(), serial: '' };
    const found = await expiries.listExpiring({ issuerId, after, until, limit: noticeSize });
    const worthTelling = found.filter((each) => livesLongEnough(each, withinDays));
    if (worthTelling.length > 0) await tell(context, withinDays, worthTelling);
    const isAll = found.length < noticeSize;
    const last = found[found.length - 1] as ExpiringCertificate | undefined;
    // Up to the horizon everything was looked at. A certificate issued later and expiring earlier lives too short to be told of.
    const to = isAll
      ? { notAfter: until, serial: '~' }
      : { notAfter: last?.notAfter ?? until, serial: last?.serial ?? '' };
    if (to.notAfter < after.notAfter) return;
    if (!(await expiries.advance(issuerId, withinDays, from, to)) || isAll) return;
    from = to;
  }
}

function livesLongEnough({ notBefore, notAfter }: ExpiringCertificate, withinDays: number): boolean {
  return notAfter.getTime() - notBefore.getTime() >= 2 * withinDays * dayMilliseconds;
}

async function tell(
  { webhook, observer }: ExpiryScanContext,
  withinDays: number,
  certificates: readonly ExpiringCertificate[],
): Promise<void> {
  const identity = [withinDays, ...certificates.map(({ serial }) => serial)].join();
  const id = createHash('sha256').update(identity).digest('hex').slice(0, 32);
  const notice = Object.freeze({ id, withinDays, certificates });
  await webhook?.deliver(id, { type: 'certificates.expiring', ...notice });
  observer.expiring?.(notice);
}
