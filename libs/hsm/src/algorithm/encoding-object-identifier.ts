/** DER OBJECT IDENTIFIER (X.690 §8.19) of a dotted identifier; CKA_EC_PARAMS names a curve this way. */
export function objectIdentifier(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number);
  const content = [first * 40 + second, ...rest].flatMap(base128);
  return Buffer.from([0x06, content.length, ...content]);
}

function base128(value: number): number[] {
  const digits = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift((rest % 128) | 0x80);
  return digits;
}
