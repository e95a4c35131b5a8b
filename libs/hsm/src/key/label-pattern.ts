/** Whether a key's label is the one meant: an exact label, or a prefix ending in `*`. */
export function matchesLabel(pattern: string, label: string): boolean {
  return pattern.endsWith('*') ? label.startsWith(pattern.slice(0, -1)) : label === pattern;
}
