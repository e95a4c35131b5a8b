import type { CrlScope } from '../store/crl-store.js';

type File = Pick<CrlScope, 'shard' | 'kind'>;

/** `full`, `delta`, `shard-3`, `shard-3-delta`: how a CRL is called in URLs, without its ending. */
export function crlFileName({ shard, kind }: File): string {
  if (shard === 0) return kind;
  return kind === 'full' ? `shard-${shard}` : `shard-${shard}-delta`;
}

/** The CRL a name means; undefined for any other text. */
export function readCrlFileName(name: string): File | undefined {
  if (name === 'full' || name === 'delta') return { shard: 0, kind: name };
  const [, shard, delta] = /^shard-([1-9]\d{0,3})(-delta)?$/.exec(name) ?? [];
  return shard === undefined ? undefined : { shard: Number(shard), kind: delta === undefined ? 'full' : 'delta' };
}

/** Where relying parties fetch a CRL; apps/ca serves it there. */
export function crlLocation(publicUrl: string, { issuerId, ...file }: CrlScope): string {
  return `${publicUrl}/v1/crl/${issuerId}/${crlFileName(file)}.der`;
}

/** The shard that a certificate's distribution point names; 0 when it names the complete CRL, or none of ours. */
export function shardOfLocation(url: string): number {
  const [, name] = /\/v1\/crl\/[0-9a-f]+\/([a-z0-9-]+)\.der$/.exec(url) ?? [];
  return (name === undefined ? undefined : readCrlFileName(name))?.shard ?? 0;
}

/** The shard of a certificate to be: evenly spread, since serials are random. @param serial  at least 2 octets @returns 0 without shards */
export function shardOfSerial(serial: Buffer, shards: number): number {
  return shards > 1 ? 1 + (serial.readUInt16BE(serial.length - 2) % shards) : 0;
}
