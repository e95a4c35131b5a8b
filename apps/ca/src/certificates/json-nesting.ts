const [quote, backslash] = [0x22, 0x5c];
const opening = new Set([0x5b, 0x7b]);
const closing = new Set([0x5d, 0x7d]);

/**
 * Whether arrays and objects of a text in JSON are nested deeper than that. To parse a megabyte of brackets takes tens of times as long as
 * a megabyte of anything else, and bodies are parsed before their senders are known.
 */
export function isNestedDeeper(json: Buffer, maximum: number): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const octet = json[at];
    if (octet === quote) at = endOfString(json, at);
    else if (closing.has(octet)) depth -= 1;
    else if (opening.has(octet) && (depth += 1) > maximum) return true;
  }
  return false;
}

/** @returns where its closing quote is, or the end of the text */
function endOfString(json: Buffer, start: number): number {
  for (let at = start + 1; ; at += 1) {
    at = json.indexOf(quote, at);
    if (at < 0) return json.length;
    let escapes = 0;
    while (json[at - 1 - escapes] === backslash) escapes += 1;
    if (escapes % 2 === 0) return at;
  }
}
