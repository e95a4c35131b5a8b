import { userInfo } from 'node:os';

/** What a command takes that destroys something and leaves a receipt of it. */
export interface ReceiptOptions {
  readonly operator?: string;
  readonly receipt?: string;
}

export const operatorOption = {
  flags: '--operator <name>',
  description: 'who asks for it, for the receipt (default: the user of the system)',
};

export const receiptOption = {
  flags: '--receipt <directory>',
  description: 'where to write receipt.json and receipt.sig; a new or empty directory',
};

/** Who asks for it. */
export function operatorOf({ operator }: ReceiptOptions): string {
  return operator ?? userInfo().username;
}
