/**
 * The directory of a role's socket is what says who has the role. While the agent starts it is the agent's alone, so that
 * nothing in it can be exchanged under its hands; then it is given to the role.
 */
import { chmod, chown, lchown, lstat, mkdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { HsmError } from '../errors.js';
import { type RoleConfig, socketPath } from './config.js';

/**
 * Makes or takes the directory and removes the socket of an agent that is no more.
 * @throws {HsmError} ERR_HSM_CONFIG_INVALID when others may write in it, or an agent still listens there
 */
export async function takeDirectory(role: RoleConfig): Promise<void> {
  const { directory } = role;
  await explained(directory, async () => {
    await requireSafeParent(directory);
    await mkdir(directory, { mode: 0o700 }).catch(unlessThere);
    const stats = await lstat(directory);
    if (!stats.isDirectory()) throw refused(directory, 'want a directory');
    if (stats.uid !== ownUid && stats.uid !== role.uid)
      throw refused(directory, `want another owner than ${stats.uid}`);
    if ((stats.mode & 0o022) !== 0) throw refused(directory, 'want nobody but its owner to write in it');
    if (stats.uid !== ownUid) await lchown(directory, ownUid, ownGid);
    await chmod(directory, 0o700);
    await removeStale(socketPath(role));
  });
}

/** The modes of a socket whose role is a group or one user. */
export function socketMode({ gid }: RoleConfig): number {
  return gid === undefined ? 0o600 : 0o660;
}

/** Lets the role in. @throws {HsmError} ERR_HSM_CONFIG_INVALID */
export async function giveDirectory(role: RoleConfig): Promise<void> {
  const { directory, uid = ownUid, gid = ownGid } = role;
  await explained(directory, async () => {
    const socket = socketPath(role);
    const { mode } = await lstat(socket);
    if ((mode & 0o777) !== socketMode(role)) throw refused(socket, `want mode ${socketMode(role).toString(8)}`);
    await lchown(socket, uid, gid);
    await chmod(directory, role.gid === undefined ? 0o700 : 0o710);
    await chown(directory, uid, gid);
  });
}

const ownUid = process.geteuid?.() ?? 0;
const ownGid = process.getegid?.() ?? 0;

/** Whoever may write there can put a directory of its own in this one's place. */
async function requireSafeParent(directory: string): Promise<void> {
  const parent = dirname(directory);
  const { uid, mode } = await stat(parent).catch((cause: NodeJS.ErrnoException) => {
    throw refused(parent, `want this directory, in which a role gets its own, got ${cause.code}`, cause);
  });
  const isSticky = (mode & 0o1000) !== 0;
  if (uid !== 0 && uid !== ownUid) throw refused(parent, `want it to be root's or our own, got the user ${uid}'s`);
  if ((mode & 0o022) !== 0 && !isSticky) throw refused(parent, 'want nobody but its owner to write in it');
}

async function removeStale(path: string): Promise<void> {
  const stats = await lstat(path).catch(unlessAbsent);
  if (stats === undefined) return;
  if (!stats.isSocket()) throw refused(path, 'want a socket or nothing');
  if (await isListenedTo(path)) throw refused(path, 'want it free, but another agent listens there');
  await unlink(path);
}

function isListenedTo(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED'));
  });
}

async function explained(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof HsmError) throw cause;
    const { code, syscall } = cause as NodeJS.ErrnoException;
    throw refused(path, `want it for a role's socket, got ${code} from ${syscall}`, cause);
  }
}

function refused(path: string, want: string, cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_CONFIG_INVALID', `shared agent: ${path}: ${want}`, { cause });
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

function unlessAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
