import { isUtf8 } from 'node:buffer';
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { HsmError } from '../../../errors.js';
import type { WirePinSource } from '../../protocol.js';

const maximumPinBytes = 256;
const commandMilliseconds = 10_000;

/**
 * The PIN, in a buffer that the caller zeroes. Read afresh for every login, so that a changed PIN is taken up.
 * @throws {HsmError} ERR_HSM_PIN_SOURCE
 */
export async function readPin(source: WirePinSource): Promise<Buffer> {
  if ('file' in source) return fromFile(source.file);
  if ('command' in source) return fromCommand(source.command);
  return checkedPin(Buffer.from(source.value, 'utf8'), 'PIN value');
}

async function fromFile(path: string): Promise<Buffer> {
  // O_NONBLOCK: opening a FIFO would otherwise wait for ever. The mode is taken from the open file, not from its name.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: NodeJS.ErrnoException) => {
    throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want to read it, got ${cause.code}`, { cause });
  });
  try {
    const { mode, uid } = await file.stat().then((stats) => {
      if (!stats.isFile()) throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want a regular file`);
      return stats;
    });
    if ((mode & 0o077) !== 0) {
      const got = (mode & 0o777).toString(8).padStart(4, '0');
      throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want mode 0600 or 0400, got ${got}`);
    }
    if (uid !== 0 && uid !== process.getuid?.()) {
      throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want it owned by this user or root, got user ${uid}`);
    }
    const content = Buffer.alloc(maximumPinBytes + 2);
    const { bytesRead } = await file.read(content, 0, content.length, 0);
    return checkedPin(takeFirstLine(content.subarray(0, bytesRead)), `PIN file ${path}`);
  } finally {
    await file.close();
  }
}

/** No shell, no inherited input, bounded time and output; what it printed never reaches an error. */
async function fromCommand([program, ...args]: readonly string[]): Promise<Buffer> {
  const options = {
    encoding: 'buffer',
    timeout: commandMilliseconds,
    killSignal: 'SIGKILL',
    maxBuffer: 4_096,
  } as const;
  const { stdout, stderr } = await promisify(execFile)(program, args, options).catch((error: object) => {
    const { code, killed } = error as { code?: string | number; killed?: boolean };
    const got = killed ? `none within ${commandMilliseconds} ms` : `exit ${code ?? 'by a signal'}`;
    throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN command ${program}: want a PIN, got ${got}`);
  });
  stderr.fill(0);
  return checkedPin(takeFirstLine(stdout), `PIN command ${program}`);
}

/** The bytes before the first newline, in a buffer of their own; `bytes` is zeroed. */
function takeFirstLine(bytes: Buffer): Buffer {
  const newline = bytes.indexOf(0x0a);
  const end = newline === -1 ? bytes.length : newline;
  const isCarriageReturn = end > 0 && bytes[end - 1] === 0x0d;
  const line = Buffer.alloc(isCarriageReturn ? end - 1 : end);
  bytes.copy(line);
  bytes.fill(0);
  return line;
}

function checkedPin(pin: Buffer, name: string): Buffer {
  // PKCS#11 PINs are UTF-8; other bytes would reach the token changed, and cost one of its few attempts.
  if (pin.length > 0 && pin.length <= maximumPinBytes && isUtf8(pin)) return pin;
  const got = pin.length > 0 && pin.length <= maximumPinBytes ? 'other bytes' : `${pin.length}`;
  pin.fill(0);
  throw new HsmError('ERR_HSM_PIN_SOURCE', `${name}: want 1 to ${maximumPinBytes} bytes of UTF-8, got ${got}`);
}
