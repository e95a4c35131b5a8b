import type { Duplex } from 'node:stream';
import { TlsSocket } from '../socket.js';
import { SilenceTimer } from './silence-timer.js';

/**
 * Carries bytes both ways until both sides have closed, none faster than it is taken. An end is passed on; a side that breaks, or
 * on which nothing moves either way for too long, takes the other with it.
 * @returns bytes that came from each side; never throws
 */
export function joinStreams(
  near: Duplex,
  far: Duplex,
  idleTimeoutMilliseconds: number,
): Promise<{ fromNear: number; fromFar: number }> {
  return new Promise((resolve) => {
    const silence = new SilenceTimer(idleTimeoutMilliseconds, () => {
      near.destroy();
      far.destroy();
    });
    const bytes = { fromNear: 0, fromFar: 0 };
    let open = 2;
    const carry = (from: Duplex, to: Duplex, count: 'fromNear' | 'fromFar'): void => {
      from.on('data', (chunk: Buffer) => {
        bytes[count] += chunk.length;
        silence.noteLife();
      });
      from.on('error', () => undefined);
      // Cut off, not ended: the other side is not to take it for an end.
      from.once('end', () => {
        if (from instanceof TlsSocket && from.truncated) to.destroy();
      });
      from.once('close', () => {
        if (from.readableEnded) destroyOnceWritten(to);
        else to.destroy();
        if (--open > 0) return;
        silence.stop();
        resolve(bytes);
      });
      from.pipe(to);
    };
    carry(near, far, 'fromNear');
    carry(far, near, 'fromFar');
    for (const side of [near, far]) if (side.destroyed) side.emit('close');
  });
}

function destroyOnceWritten(stream: Duplex): void {
  if (!stream.writableEnded) stream.end();
  if (stream.writableFinished) stream.destroy();
  else stream.once('finish', () => stream.destroy());
}
