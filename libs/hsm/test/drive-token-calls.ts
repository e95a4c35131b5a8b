import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VirtualHsm } from '../../../test/chaos/virtual-hsm.js';

const driver = fileURLToPath(new URL('token-calls-driver.mjs', import.meta.url));

/** What the driver of the addon reports when all is well; its comments say what each of these is. */
export const soundReport = {
  verified: 480,
  pss: true,
  decrypted: [true, true, true, true],
  faults: [
    // CKR_SESSION_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID (SoftHSM's word for a key), CKR_MECHANISM_INVALID
    'C_SignInit 0xb3',
    'C_SignInit 0x82',
    'C_SignInit 0x70',
    // CKR_BUFFER_TOO_SMALL, and what SoftHSM says of a wrong tag: CKR_GENERAL_ERROR
    'C_Sign 0x150',
    'C_Decrypt 0x5',
    0xb3,
    0xb3,
  ],
  refused: Array.from({ length: 8 }, () => 'TypeError'),
  frozen: { encrypted: 48, closing: 'close: want no call under way', signatures: Array.from({ length: 8 }, () => 64) },
  worker: 64,
} as const;

export interface DriverEnd {
  readonly report?: unknown;
  readonly code: number | null;
  readonly stderr: string;
}

/** The same where some of the calls hang. */
export const soundFreezes = [
  { frozen: 1, encrypted: 160, signed: 1 },
  { frozen: 4, encrypted: 160, signed: 4 },
  { frozen: 8, encrypted: 160, signed: 8 },
] as const;

/**
 * Runs the driver on a virtual HSM of its own.
 * @param what  all kinds of calls, one that the process's end interrupts, or many beside some that hang
 */
export async function driveTokenCalls(
  what: 'calls' | 'exit' | 'freezes',
  environment: NodeJS.ProcessEnv = {},
): Promise<DriverEnd> {
  const device = new VirtualHsm('token-calls');
  try {
    const { module, token } = device;
    const child = fork(driver, [what, module, token.label, token.pin], {
      env: { ...process.env, NODE_OPTIONS: '', ...device.moduleEnvironment, ...environment },
      execArgv: [],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    return await served(child, device);
  } finally {
    device.remove();
  }
}

/** Environment of a process whose C++ library finds so many processors (glibc). @param directory  for a library to preload */
export function processors(count: number, directory: string): NodeJS.ProcessEnv {
  const library = join(directory, 'processors.so');
  const source = fileURLToPath(new URL('processors.c', import.meta.url));
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-o', library, source], { stdio: 'pipe' });
  return { LD_PRELOAD: library, NEST_HSM_PROCESSORS: String(count) };
}

interface DriverMessage {
  readonly steer?: ['freeze' | 'heal', 'C_SignInit' | 'C_Sign'];
  readonly report?: unknown;
}

async function served(child: ChildProcess, device: VirtualHsm): Promise<DriverEnd> {
  let stderr = '';
  let report: unknown;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.on('message', (message: DriverMessage) => {
    report = message.report;
    if (message.steer === undefined) return;
    const [method, ...how] = message.steer;
    device[method](...how);
    child.send('done');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { report, code, stderr };
}
