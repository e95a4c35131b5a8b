/** Whether a key's label is the one meant: an exact label, or its beginning and then `*`, or `*` and then its end. */
export function matchesLabel(pattern: string, label: string): boolean {
  if (pattern.endsWith('*')) return label.startsWith(pattern.slice(0, -1));
  return pattern.startsWith('*') ? label.endsWith(pattern.slice(1)) : label === pattern;
}

/** Whether the last pattern that matches a label takes it in; one after `!` leaves out what it matches, as in .gitignore. */
export function isListed(patterns: readonly string[], label: string): boolean {
  const last = patterns.findLast((pattern) => matchesLabel(pattern.replace(/^!/, ''), label));
  return last?.startsWith('!') === false;
}
