import { tags } from '../der/der-writer.js';
import type { CrlEntry } from '../store/revocation-store.js';
import { revocationReasons } from './revocation-reason.js';

/** An entry is never longer: a serial of 20 octets, a GeneralizedTime, two extensions. */
export const maximumEntryBytes = 128;

/** Up to the value: SEQUENCE { id-ce-cRLReasons, OCTET STRING { ENUMERATED (RFC 5280 §5.3.1). */
const reasonExtension = Buffer.from('300a0603551d1504030a01', 'hex');
/** The same of id-ce-invalidityDate, a GeneralizedTime (RFC 5280 §5.3.2). */
const invalidityExtension = Buffer.from('30180603551d180411180f', 'hex');

/**
 * Writes one entry of revokedCertificates (RFC 5280 §5.1.2.6). The reason is left out when it is unspecified (§5.3.1), and is
 * removeFromCRL for a hold that was released.
 * @returns where it ended
 */
export function writeEntry(octets: Buffer, start: number, entry: CrlEntry): number {
  let at = start + 2;
  at = writeSerial(octets, at, entry.serial);
  at = writeTime(octets, at, entry.revokedAt);
  const reason = entry.state === 'released' ? 'removeFromCRL' : entry.reason;
  const hasReason = reason !== 'unspecified';
  if (hasReason || entry.invalidityDate !== undefined) {
    const extensions = at;
    at += 2;
    if (hasReason) {
      at += reasonExtension.copy(octets, at);
      octets[at++] = revocationReasons[reason];
    }
    if (entry.invalidityDate !== undefined) {
      at += invalidityExtension.copy(octets, at);
      at += octets.write(`${digitsOf(entry.invalidityDate)}Z`, at, 'latin1');
    }
    octets[extensions] = tags.sequence;
    octets[extensions + 1] = at - extensions - 2;
  }
  octets[start] = tags.sequence;
  octets[start + 1] = at - start - 2;
  return at;
}

/** @param serial  hexadecimal, an even number of digits */
function writeSerial(octets: Buffer, start: number, serial: string): number {
  let first = 0;
  while (first < serial.length - 2 && serial.startsWith('00', first)) first += 2;
  octets[start] = tags.integer;
  const length = octets.write(first === 0 ? serial : serial.slice(first), start + 2, 'hex');
  if (octets[start + 2] >= 0x80) {
    // Positive all the same (X.690 §8.3).
    octets.copyWithin(start + 3, start + 2, start + 2 + length);
    octets[start + 2] = 0;
    octets[start + 1] = length + 1;
    return start + 3 + length;
  }
  octets[start + 1] = length;
  return start + 2 + length;
}

/** UTCTime through 2049, then GeneralizedTime (RFC 5280 §5.1.2.6). */
function writeTime(octets: Buffer, start: number, time: Date): number {
  const digits = digitsOf(time);
  const isUtcTime = time.getUTCFullYear() < 2050;
  octets[start] = isUtcTime ? tags.utcTime : tags.generalizedTime;
  const length = octets.write(`${isUtcTime ? digits.slice(2) : digits}Z`, start + 2, 'latin1');
  octets[start + 1] = length;
  return start + 2 + length;
}

const two = Array.from({ length: 100 }, (_, value) => String(value).padStart(2, '0'));

/** YYYYMMDDHHMMSS; half a million times, so without toISOString. */
function digitsOf(time: Date): string {
  const year = time.getUTCFullYear();
  if (!(year >= 0 && year <= 9999)) throw new RangeError(`CRL entry: want a year of four digits, got ${year}`);
  return `${two[Math.floor(year / 100)]}${two[year % 100]}${two[time.getUTCMonth() + 1]}${two[time.getUTCDate()]}${two[time.getUTCHours()]}${two[time.getUTCMinutes()]}${two[time.getUTCSeconds()]}`;
}
