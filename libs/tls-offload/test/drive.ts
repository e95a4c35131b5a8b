import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeIdentity } from './identity.js';

export const driver = fileURLToPath(new URL('driver.mjs', import.meta.url));
export const forwardingDriver = fileURLToPath(new URL('forwarding-driver.mjs', import.meta.url));
const httpsDriver = fileURLToPath(new URL('https-driver.mjs', import.meta.url));
if (!existsSync(new URL('../dist/index.js', import.meta.url)))
  throw new Error('want the built library (node scripts/build.mjs)');

export interface DriverTask {
  readonly certificate: string;
  readonly privateKey: string;
  /** Clients that leave while their signature is made; a sixth of them once more before. */
  readonly aborts: number;
  /** Rounds of handshakes, echoes and garbage. */
  readonly rounds: number;
}

export interface DriverReport {
  readonly liveSessions: number;
  readonly pausedJobs: number;
  readonly aborted: number;
  /** What the resident set grew by during the second pass. */
  readonly grownBytes: number;
  readonly node: string;
  /** Paths of what the dynamic linker has loaded, addons included. */
  readonly sharedObjects: readonly string[];
}

export interface ForwardingTask {
  readonly certificate: string;
  readonly privateKey: string;
  /** Connections that break, in turn in every way there is; a quarter of them once more before. */
  readonly breaks: number;
  /** Rounds of whole transfers, three at once. */
  readonly transfers: number;
  /** Connections to leave open in the end. */
  readonly leaveOpen: number;
  /** Of `buildHeapProbe`: says what of the C heap is in use. */
  readonly heapProbe?: string;
}

export interface ForwardingReport {
  readonly liveSessions: number;
  readonly pausedJobs: number;
  readonly broken: number;
  readonly forwarded: number;
  /** By code. */
  readonly interrupted: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  /** What the C heap in use grew by, where there is a probe, and sockets, during the second pass. */
  readonly grownBytes: number | null;
  readonly grownDescriptors: number;
  readonly sharedObjects: readonly string[];
}

export function newTask(aborts: number, rounds: number): DriverTask {
  return { ...newKey(), aborts, rounds };
}

export function newForwardingTask(breaks: number, transfers: number, leaveOpen = 0): ForwardingTask {
  return { ...newKey(), breaks, transfers, leaveOpen };
}

function newKey(): { certificate: string; privateKey: string } {
  const { certificatePem, privateKey } = makeIdentity('ed25519');
  return {
    certificate: certificatePem,
    privateKey: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

interface DriveOptions {
  readonly node?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs the driver in a process of its own. @throws with its output when it fails */
export function drive(task: DriverTask, options: DriveOptions = {}): Promise<DriverReport> {
  return run(driver, task, options);
}

/** The same for the L4 proxy. */
export function driveForwarding(task: ForwardingTask, options: DriveOptions = {}): Promise<ForwardingReport> {
  return run(forwardingDriver, task, options);
}

/** Compiles what tells a driver how much of the C heap is in use; glibc alone does. @returns the path of the addon */
export function buildHeapProbe(directory: string): string {
  const addon = join(directory, 'heap-in-use.node');
  const source = fileURLToPath(new URL('heap-in-use.c', import.meta.url));
  const headers = join(realpathSync(process.execPath), '../../include/node');
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-I', headers, '-o', addon, source], { stdio: 'pipe' });
  return addon;
}

/** What a server, a proxy and an agent answered in a process of their own, by who asked. */
export async function driveHttps(options: DriveOptions = {}): Promise<Readonly<Record<string, unknown>>> {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-https-'));
  try {
    const { certificate, privateKey } = newKey();
    const caFile = join(directory, 'ca.pem');
    writeFileSync(caFile, certificate);
    return await run(httpsDriver, { certificate, privateKey, caFile }, options);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function run<Report>(script: string, task: object, { node, env }: DriveOptions): Promise<Report> {
  const { stdout } = await promisify(execFile)(
    node ?? process.execPath,
    // V8's young generation kept small: else the resident set grows by up to 100 MB as its pages are used for the first time.
    ['--expose-gc', '--max-semi-space-size=2', script, JSON.stringify(task)],
    { env: { ...process.env, NODE_OPTIONS: '', ...env }, maxBuffer: 16 * 1024 * 1024 },
  );
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Report;
}
