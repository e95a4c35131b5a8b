import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { refuseConnection } from './unparsed-requests.js';

test.each([
  ['HPE_INVALID_METHOD', '400 Bad Request', 'ERR_API_REQUEST_INVALID'],
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout', 'ERR_API_REQUEST_TIMEOUT'],
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large', 'ERR_API_HEADERS_TOO_LARGE'],
])('%s is answered with %s', async (code, status, problem) => {
  const socket = new PassThrough();
  refuseConnection(Object.assign(new Error(), { code }), socket as unknown as Socket);
  const answer = String((await socket.toArray())[0]);
  expect(answer).toMatch(`HTTP/1.1 ${status}\r\n`);
  expect(answer).toContain(`"code":"${problem}"`);
});
