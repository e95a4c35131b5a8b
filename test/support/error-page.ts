import { readFileSync } from 'node:fs';

const page = new URL('../../docs/ERRORS.md', import.meta.url);

/**
 * What docs/ERRORS.md says of a package: code → fault, read from the first two columns of the table in the section headed by
 * the package's name. For `errors.spec.ts` of each library, which compares it with the codes it has.
 */
export function errorPage(packageName: string): Record<string, string> {
  const [, section] = readFileSync(page, 'utf8').split(`\n## ${packageName}\n`);
  if (section === undefined) throw new Error(`docs/ERRORS.md: want a section ${packageName}, got none`);
  const rows = section.split('\n## ', 1)[0].matchAll(/^\| `(ERR_[A-Z0-9_]+)` +\| (\w+) +\|.*\|\s*$/gm);
  const codes = [...rows].map(([, code, fault]) => [code, fault] as const);
  const twice = codes.map(([code]) => code).filter((code, index, all) => all.indexOf(code) !== index);
  if (twice.length > 0) throw new Error(`docs/ERRORS.md: want each code once, got ${twice.join(', ')} twice`);
  return Object.fromEntries(codes);
}
