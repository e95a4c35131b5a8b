// A server of HTTP/1.1 behind a proxy, in a process of its own: `node http-upstream.mjs NAME`. Says its port to who made it, and
// answers with its name and what it was asked. /trailers ends with one; a WebSocket is whatever its client says, said again.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const [name] = process.argv.slice(2);
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const { method, url, headers, trailers } = request;
  if (url === '/trailers') response.setHeader('trailer', 'x-end');
  response.write(JSON.stringify({ name, method, url, headers, trailers, body }));
  if (url === '/trailers') response.addTrailers({ 'x-end': `of ${name}` });
  response.end();
});
server.on('upgrade', (request, socket, head) => {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`);
  socket.on('error', () => undefined);
  socket.write(head);
  socket.pipe(socket);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.once('disconnect', () => process.exit());
