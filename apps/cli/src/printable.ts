/**
 * Text of which somebody else's words are a part (a key's label, a client, a file's name), made fit for a terminal: nothing that
 * moves the cursor, changes colours or the direction of the text (Unicode categories Cc, Cf, Cn, Co, Cs, Zl, Zp).
 */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  );
}

/** Fit for a terminal, whatever a token or a file has put into it. @param lines  a PEM, of several, is one of them too */
export function textOf(lines: readonly string[]): string {
  return lines.flatMap((line) => line.split('\n').map((part) => `${printable(part)}\n`)).join('');
}
