import type { StoredOcspResponse } from '../ocsp-store.js';
import { sql, type Statement } from './sql.js';

/** Puts a response in the place of an older one; the revocation store writes it too, in the transaction of the revocation. */
export function insertResponse(response: StoredOcspResponse): Statement {
  const { issuerId, serial, hash, der, thisUpdate, nextUpdate, refreshAt, sequence } = response;
  return sql(
    `INSERT INTO ca_ocsp_response (issuer_id, serial, hash, der, this_update, next_update, refresh_at, sequence)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (issuer_id, serial, hash) DO UPDATE SET der = $4, this_update = $5, next_update = $6, refresh_at = $7,
       sequence = $8`,
    issuerId,
    serial,
    hash,
    der.toString('base64'),
    thisUpdate.getTime(),
    nextUpdate.getTime(),
    refreshAt.getTime(),
    sequence,
  );
}
