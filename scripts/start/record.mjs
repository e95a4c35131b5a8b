// A record goes in through HTTPS; its row is shown as the client sees it and as the database holds it.
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { databaseFile, root, rootCertificate } from '../workspace/paths.mjs';
import { bold, cyan, dim, green, line, say } from '../workspace/terminal.mjs';
import { tool, verify } from './tool.mjs';

const database = databaseFile('records');
export const example = { name: 'Ada Example', nationalId: 'AB-1815-12-10', diagnosis: 'hay fever, nothing worse' };

export async function storeRecord({ sidecar }) {
  const url = `https://localhost:${sidecar}/records`;
  const created = await tool`curl --silent --show-error --fail-with-body --cacert ${rootCertificate}
    --json ${JSON.stringify(example)} ${url}`;
  const { id } = JSON.parse(created.stdout);
  line(green('✓'), 'curl POST', url);
  const read = await tool`curl --silent --show-error --fail-with-body --cacert ${rootCertificate} ${url}/${id}`;
  const seen = JSON.parse(read.stdout);
  for (const [field, value] of Object.entries(example)) {
    verify(seen[field] === value, `${field} "${value}" from ${url}/${id}`, JSON.stringify(seen[field]));
  }
  line(green('✓'), 'curl GET', `${url}/${id}`);
  say(`    ${bold('as the client sees it')}`);
  for (const field of Object.keys(example)) say(`      ${field.padEnd(12)} ${seen[field]}`);
}
