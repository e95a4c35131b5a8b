import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { HsmError } from '../errors.js';
import type { Hsm } from '../hsm.js';

const retryMilliseconds = 500;
/** A start that takes no longer is not worth an answer. */
const quietMilliseconds = 1_000;
const maximumConnections = 256;

/**
 * Returns when a member serves. `Hsm.open` returns too when none can be reached for now, and what an application needs of its HSM
 * to start, as the keys of its issuers, would fail then.
 * @throws {HsmError} ERR_HSM_CLOSED
 */
export async function untilServing(hsm: Hsm): Promise<void> {
  const serves = (): boolean => hsm.members.some(({ state }) => state === 'serving');
  // What is wrong must not wait in a buffer for the application that it keeps from starting.
  if (!serves()) Logger.flush();
  while (!serves()) {
    await hsm.probe().catch((error: HsmError) => {
      if (error.code === 'ERR_HSM_CLOSED') throw error;
    });
    await pause(retryMilliseconds);
  }
}

/**
 * Starts an application. While that takes longer than a moment, since no HSM can be reached, whoever asks at its address is
 * answered 503, health checks as @nestjs/terminus answers them, anything else with a problem document (RFC 9457). Then the
 * address is free for the application. A SIGHUP that nobody handles yet, as `HsmReload` will, is no end meanwhile.
 * @param address  `https`: as the application serves TLS there; plain HTTP when absent
 */
export async function answerUnready<T>(
  { host, port, https }: { readonly host: string; readonly port: number; readonly https?: ServerOptions },
  start: () => Promise<T>,
): Promise<T> {
  const server = https === undefined ? createServer(answer) : createTlsServer(https, answer);
  server.maxConnections = maximumConnections;
  server.on('error', ({ message }) => new Logger('Start').warn(`not ready, and nobody can be told: ${message}`));
  const impatience = setTimeout(() => server.listen(port, host), quietMilliseconds);
  const ignore = (): void => undefined;
  process.on('SIGHUP', ignore);
  try {
    return await start();
  } finally {
    process.off('SIGHUP', ignore);
    clearTimeout(impatience);
    await close(server);
  }
}

const detail = 'The service is starting: it waits for its HSM.';
const health = { start: { status: 'down', message: detail } };
const unhealthy = { status: 'error', info: {}, error: health, details: health };
const problem = { type: 'about:blank', title: 'Service Unavailable', status: 503, detail };

function answer({ url = '' }: IncomingMessage, response: ServerResponse): void {
  const isHealthCheck = /^\/(health|ready)(\?|$)/.test(url);
  response.writeHead(503, {
    'content-type': isHealthCheck ? 'application/json' : 'application/problem+json',
    'cache-control': 'no-store',
    'retry-after': '1',
    connection: 'close',
  });
  response.end(JSON.stringify(isHealthCheck ? unhealthy : problem));
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
