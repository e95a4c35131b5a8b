import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { Stop } from '../workspace/stop.mjs';

/** What the main job listens on, all on loopback. */
const preferred = { ca: 8440, records: 8441, sidecar: 8443, sidecarAdmin: 8444 };

/**
 * The usual ports, with the next free one for each that is taken.
 * @returns {{ ports: typeof preferred, taken: string[] }} `taken`: a sentence for each that had to give way
 */
export async function choosePorts() {
  const ports = {};
  const taken = [];
  for (const [name, port] of Object.entries(preferred)) {
    ports[name] = await firstFree(port, Object.values(ports));
    if (ports[name] !== port) taken.push(`port ${port} is taken by ${portOwner(port)}: using ${ports[name]} instead`);
  }
  return { ports, taken };
}

async function firstFree(port, reserved) {
  for (let candidate = port; candidate < port + 1_000; candidate += candidate === port ? 100 : 1) {
    if (!reserved.includes(candidate) && (await isFree(candidate))) return candidate;
  }
  throw new Stop(`ports: want a free one from ${port} on, got none.`);
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  });
}

/** Who listens on a port, as far as Linux's /proc tells this user. */
function portOwner(port) {
  try {
    const inodes = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(table, port));
    const pid = readdirSync('/proc').find((entry) => /^\d+$/.test(entry) && holdsSocket(entry, inodes));
    if (pid) return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (process ${pid})`;
  } catch {
    // Not Linux, or not ours to see.
  }
  return 'another program';
}

function listeningInodes(table, port) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync(table, 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  return rows.filter(([, local, , state]) => local?.endsWith(suffix) && state === '0A').map((row) => row[9]);
}

function holdsSocket(pid, inodes) {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) =>
      inodes.some((inode) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`),
    );
  } catch {
    return false;
  }
}
