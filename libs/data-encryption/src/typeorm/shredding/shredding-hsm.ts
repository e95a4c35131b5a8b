import type { Hsm } from '@nest-hsm/hsm';

/** What shredding needs of an HSM beside what encryption does. `Hsm` is one. */
export type ShreddingHsm = Pick<
  Hsm,
  'findKey' | 'listKeys' | 'rotateKey' | 'destroyKey' | 'receipts' | 'receiptKey' | 'sign'
>;
