import type { Receipt, SignedReceipt } from '@nest-hsm/hsm';

export function describeReceipt({ receipt, signature }: SignedReceipt): Record<string, unknown> {
  return { receipt, signature: signature?.toString('base64') };
}

/** What a receipt says, in the order in which one wants to know it. */
export function receiptLines({ receipt, signature }: SignedReceipt, name: string = receipt.key.id): string[] {
  const objects = receipt.members.reduce((sum, { found }) => sum + found, 0);
  const counted = `${objects} ${objects === 1 ? 'object' : 'objects'}`;
  return [
    receipt.state === 'destroyed' ? `destroyed ${name} (${counted})` : `pending ${name}`,
    ...receipt.members.map(memberLine),
    ...receipt.backups.restorable.map((backup) => `  could be restored from ${backup}`),
    `  ${receipt.backups.remark}`,
    ...receipt.remarks.map((remark) => `  ${remark}`),
    signature === undefined
      ? '  not signed yet: the receipt key could not be used; it is signed when it can be'
      : `  signed by the key of SHA-256 ${receipt.signer}`,
  ];
}

function memberLine({ member, state, found, reason }: Receipt['members'][number]): string {
  const why = reason === undefined ? '' : ` (${reason})`;
  return `  ${member}: ${state}${why}, ${found} found`;
}
