/**
 * Text from a trail, of which a client or a key's label is a part, made fit for a terminal: nothing that moves the cursor,
 * changes colours or the direction of the text (Unicode categories Cc, Cf, Co, Cs, Zl, Zp).
 */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  );
}
