import { AddDataEncryptionActiveScopes1767657600000 } from './add-active-scopes.migration.js';
import { AddBlindIndexKeys1767312000000 } from './add-blind-index-keys.migration.js';
import { AddDataEncryptionKeyScopes1767484800000 } from './add-key-scopes.migration.js';
import { CreateDataEncryptionKeySequences1767744000000 } from './create-key-sequences.migration.js';
import { CreateDataEncryptionKeys1767225600000 } from './create-data-keys.migration.js';
import { CreateDataEncryptionRanges1767398400000 } from './create-ranges.migration.js';
import { CreateDataEncryptionShreddings1767571200000 } from './create-shreddings.migration.js';

/** For the `migrations` of a data source. */
export const dataEncryptionMigrations = [
  CreateDataEncryptionKeys1767225600000,
  AddBlindIndexKeys1767312000000,
  CreateDataEncryptionRanges1767398400000,
  AddDataEncryptionKeyScopes1767484800000,
  CreateDataEncryptionShreddings1767571200000,
  AddDataEncryptionActiveScopes1767657600000,
  CreateDataEncryptionKeySequences1767744000000,
];
