// A record goes in through HTTPS; its row is shown as the client sees it and as the database holds it.
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { databaseFile, root, rootCertificate } from '../workspace/paths.mjs';
import { bold, cyan, dim, green, line, say } from '../workspace/terminal.mjs';
import { tool, verify } from './tool.mjs';

const database = databaseFile('records');
const example = { name: 'Ada Example', nationalId: 'AB-1815-12-10', diagnosis: 'hay fever, nothing worse' };
const encryptedColumns = { name: 'name', nationalId: 'national_id', diagnosis: 'diagnosis' };
/** A cell is base64 whose first three bytes spell this (docs/ENVELOPE.md). */
const envelope = /^nhsm[A-Za-z0-9+/]{40,}={0,2}$/;

export async function storeRecord({ sidecar }) {
  const url = `https://localhost:${sidecar}/records`;
  const created = await tool`curl --silent --show-error --fail-with-body --cacert ${rootCertificate}
    --header Content-Type:application/json --data ${JSON.stringify(example)} ${url}`;
  const { id } = JSON.parse(created.stdout);
  line(green('✓'), 'curl POST', url);
  await checkClientsView(`${url}/${id}`);
  await checkDatabasesView(id);
}

async function checkClientsView(url) {
  const { stdout } = await tool`curl --silent --show-error --fail-with-body --cacert ${rootCertificate} ${url}`;
  const seen = JSON.parse(stdout);
  for (const [field, value] of Object.entries(example)) {
    verify(seen[field] === value, `${field} "${value}" from ${url}`, JSON.stringify(seen[field]));
  }
  line(green('✓'), 'curl GET', 'the same back');
  say(`      ${bold('as the client sees it')}`);
  for (const field of Object.keys(example)) say(`        ${field.padEnd(12)} ${seen[field]}`);
}

async function checkDatabasesView(id) {
  const { stdout } = await tool`sqlite3 -readonly -json ${database} ${`SELECT * FROM record WHERE id = '${id}'`}`;
  const [row] = JSON.parse(stdout);
  say(`      ${bold('as the database holds it')} ${dim(`(sqlite3 ${relative(root, database)})`)}`);
  for (const column of Object.values(encryptedColumns)) {
    verify(envelope.test(row[column]), `an envelope in column ${column}`, JSON.stringify(row[column]));
    say(`        ${column.padEnd(12)} ${cyan(shorten(row[column]))}`);
  }
  const { stdout: dump } = await tool`sqlite3 -readonly ${database} .dump`;
  const files = [database, `${database}-wal`].filter((file) => existsSync(file)).map((file) => readFileSync(file));
  for (const value of Object.values(example)) {
    const found = dump.includes(value) || files.some((bytes) => bytes.includes(value));
    verify(!found, `no plaintext in ${relative(root, database)}`, `"${value}"`);
  }
  line(green('✓'), 'sqlite3', 'an envelope in each encrypted column, and no plaintext anywhere in the file');
}

const shorten = (text) => (text.length > 64 ? `${text.slice(0, 63)}…` : text);
