import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { perform } from '../harness/process.js';
import { quantile } from '../harness/sample.js';
import type { RequestsResult, RequestsTask } from './task.js';

const pauseMilliseconds = 2;
/** nginx answers it, the others send it back. */
const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

/** Requests on one connection, one after the other: what a client notices of the handshakes of others. */
perform<RequestsTask, RequestsResult>(async ({ port, rootFile, seconds }) => {
  const ca = readFileSync(rootFile);
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ecdhCurve: 'X25519' });
  socket.setNoDelay(true);
  await once(socket, 'secureConnect');
  const milliseconds: number[] = [];
  for (const end = performance.now() + seconds * 1_000; performance.now() < end;) {
    const answered = once(socket, 'data');
    const start = performance.now();
    socket.write(request);
    await answered;
    milliseconds.push(performance.now() - start);
    await pause(pauseMilliseconds);
  }
  socket.destroy();
  return { p90Milliseconds: quantile(milliseconds, 0.9), requests: milliseconds.length };
});
