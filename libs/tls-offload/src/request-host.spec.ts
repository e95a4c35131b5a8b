import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { namesItsServer } from './request-host.js';

function isServed(method: string, url: string, host: string): boolean {
  const request = new IncomingMessage({ servername: 'public.example' } as unknown as Socket);
  return namesItsServer(Object.assign(request, { method, url, rawHeaders: ['Host', host] }));
}

it.each([
  ['GET', '/a//b', 'public.example', true],
  ['GET', '/', 'secret.example', false],
  ['GET', 'https://secret.example/', 'public.example', false],
  ['GET', '//secret.example/', 'public.example', false],
  ['CONNECT', 'public.example:443', 'public.example', true],
  ['CONNECT', 'secret.example:443', 'public.example', false],
  ['CONNECT', '', 'public.example', false],
])('%s %s with the Host %s on a connection to public.example: %s', (method, url, host, served) => {
  expect(isServed(method, url, host)).toBe(served);
});
