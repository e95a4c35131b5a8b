import { setTimeout as pause } from 'node:timers/promises';
import { type Checkpointer } from './checkpoint/checkpointer.js';
import type { SignedCheckpoint } from './checkpoint/checkpoint.js';
import type { Forwarder } from './syslog/forwarder.js';

/** Between two looks for what is new. */
const pollMilliseconds = 1_000;
const longestPauseMilliseconds = 60_000;

export interface AuditTasks {
  readonly checkpoints?: { readonly checkpointer: Checkpointer; readonly everySeconds: number };
  readonly forwarder?: Forwarder;
}

/** What a service tells of its work. */
export interface AuditObserver {
  readonly onCheckpoint?: (checkpoint: SignedCheckpoint) => void;
  readonly onForwarded?: (messages: number) => void;
  /** It did not work, and is tried again. */
  readonly onFault?: (task: 'checkpoint' | 'forward', error: unknown) => void;
}

/**
 * Makes checkpoints and forwards the trail until it is told to stop. Nothing ends it but the signal: what fails is told of and
 * tried again, checkpoints at their next time, the collector after pauses that double up to a minute. It may be killed at any
 * moment; started again, it goes on from what is on the disk.
 */
export async function keepAudit(tasks: AuditTasks, observer: AuditObserver, signal: AbortSignal): Promise<void> {
  const { checkpoints, forwarder } = tasks;
  await Promise.all([
    checkpoints && makeCheckpoints(checkpoints, observer, signal),
    forwarder && forwardAll(forwarder, observer, signal),
  ]);
}

async function makeCheckpoints(
  { checkpointer, everySeconds }: NonNullable<AuditTasks['checkpoints']>,
  { onCheckpoint, onFault }: AuditObserver,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      onCheckpoint?.(await checkpointer.checkpoint());
    } catch (error) {
      onFault?.('checkpoint', error);
    }
    await unlessAborted(everySeconds * 1_000, signal);
  }
}

async function forwardAll(
  forwarder: Forwarder,
  { onForwarded, onFault }: AuditObserver,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const messages = await forwarder.forward(signal);
      failures = 0;
      if (messages > 0) onForwarded?.(messages);
      else await unlessAborted(pollMilliseconds, signal);
    } catch (error) {
      if (signal.aborted) return;
      onFault?.('forward', error);
      const longest = Math.min(longestPauseMilliseconds, pollMilliseconds * 2 ** failures++);
      // Many hosts wait for one collector, and should not come back at one time.
      await unlessAborted(longest * (0.5 + Math.random() / 2), signal);
    }
  }
}

async function unlessAborted(milliseconds: number, signal: AbortSignal): Promise<void> {
  await pause(milliseconds, undefined, { signal }).catch(() => undefined);
}
