import type { DataSource } from 'typeorm';
import { exclusively } from './exclusively.js';
import { CertificatesAndCrls1764000000000 } from './migrations/1764000000000-certificates-and-crls.js';
import { ApiTokens1764100000000 } from './migrations/1764100000000-api-tokens.js';
import { Generations1764150000000 } from './migrations/1764150000000-generations.js';
import { Status1764200000000 } from './migrations/1764200000000-status.js';
import { RequestsAndSearch1764300000000 } from './migrations/1764300000000-requests-and-search.js';
import { CrlLocations1764400000000 } from './migrations/1764400000000-crl-locations.js';
import { CompromisedKeys1764500000000 } from './migrations/1764500000000-compromised-keys.js';
import { Presigning1764600000000 } from './migrations/1764600000000-presigning.js';
import { DecisionSeals1764700000000 } from './migrations/1764700000000-decision-seals.js';
import { RevocationsByState1764800000000 } from './migrations/1764800000000-revocations-by-state.js';
import { CertificatesByKey1764900000000 } from './migrations/1764900000000-certificates-by-key.js';

/** The CA's schema. Some of it is made outside a transaction: TypeORM is to be told `transaction: 'each'`. */
export const caMigrations = [
  CertificatesAndCrls1764000000000,
  ApiTokens1764100000000,
  Generations1764150000000,
  Status1764200000000,
  RequestsAndSearch1764300000000,
  CrlLocations1764400000000,
  CompromisedKeys1764500000000,
  Presigning1764600000000,
  DecisionSeals1764700000000,
  RevocationsByState1764800000000,
  CertificatesByKey1764900000000,
];

/**
 * Brings the schema up to date, one process at a time, while those of the version before go on serving. What a kill interrupts goes on
 * where it was. A change of a large table takes longer than any other statement may: the connection has no query_timeout.
 */
export async function migrate(dataSource: DataSource): Promise<void> {
  await exclusively(dataSource, () => dataSource.runMigrations({ transaction: 'each' }), 'schema');
}
