import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { credentialOf, makeIdentity } from '../../test/identity.js';
import { connectTls, eventually } from '../../test/listen.js';
import { TlsTerminator } from '../terminator.js';
import { L7Proxy } from './l7.js';
import { freePort } from '../../../../test/support/server-process.js';

const identity = makeIdentity('ec-p256');
const ca = identity.certificatePem;

describe('an L7 proxy that is given the connections it serves', () => {
  let terminator: TlsTerminator;
  let proxy: L7Proxy;
  let other: Server;

  beforeAll(async () => {
    terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    const upstreams = [{ url: `http://127.0.0.1:${await freePort()}` }];
    proxy = new L7Proxy(terminator, { upstreams, connectionLimit: 1, headTimeoutMilliseconds: 200 });
    other = createServer({ allowHalfOpen: true }, (socket) => proxy.server.emit('connection', socket));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    other.close();
    proxy.server.close();
    await proxy.close(0);
  });

  it('keeps its limit, and ends a silent client that does not end itself', async () => {
    const { port } = other.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const client = await connectTls({ port, ca, socket });
    client.on('error', () => undefined).resume();
    await expect(connectTls({ port, ca })).rejects.toThrow();
    expect(proxy.statistics.refused).toBe(1);
    await eventually(() => terminator.statistics.open === 0);
    client.destroy();
  });
});
