import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { jest } from '@jest/globals';
import {
  type Credential,
  l4ProxyConfigSchema,
  l7ProxyConfigSchema,
  terminatorConfigSchema,
  TlsTerminator,
} from '@nest-hsm/tls-offload';
import { Registry } from 'prom-client';
import { credentialOf, makeIdentity } from '../../../../libs/tls-offload/test/identity.js';
import { connectTls, eventually } from '../../../../libs/tls-offload/test/listen.js';
import { AccessLog } from '../monitoring/access-log.js';
import { TrafficMetrics } from '../monitoring/traffic-metrics.js';
import { Lane } from './lane.js';
import { Listener } from './listener.js';

const identity = makeIdentity('ec-p256');
const served = { credentials: [credentialOf(identity)] };
const registry = new Registry();
const observers = {
  metrics: new TrafficMetrics(registry),
  accessLog: new AccessLog({ info: () => undefined }, 0),
};

describe('a listener', () => {
  let upstream: Server;
  let listener: Listener;

  function laneTo({ port }: AddressInfo, name: string, from = { host: '127.0.0.1', port: 0 }): Lane {
    const l4 = l4ProxyConfigSchema.parse({
      upstream: { host: '127.0.0.1', port },
      proxyProtocol: { trustedPeers: ['127.0.0.1'] },
      connectionLimit: 3,
    });
    return new Lane(
      { name, listen: from, tls: terminatorConfigSchema.parse({}), l4 },
      { served, shown: [] },
      observers,
    );
  }
  const portOf = ({ address }: Listener): number => Number(address.split(':')[1]);

  beforeEach(async () => {
    upstream = createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    listener = await Listener.open(laneTo(upstream.address() as AddressInfo, 'first'), {});
  });
  afterEach(async () => {
    await listener.close(0);
    upstream.close();
  });

  async function announced(): Promise<Socket> {
    const socket = connect(portOf(listener), '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  }

  it('has connections wait until it serves', async () => {
    const socket = await announced();
    socket.write('PROXY UNKNOWN\r\n');
    const secure = connectTls({ port: 0, socket, ca: identity.certificatePem });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(listener.statistics.handshaking).toBe(0);
    listener.serve();
    (await secure).destroy();
  });

  it('counts connections of a load balancer that does not say whom it speaks for', async () => {
    listener.serve();
    const socket = await announced();
    socket.write('no PROXY header');
    await once(socket.resume(), 'close');
    expect(await registry.metrics()).toContain(
      'handshakes_total{listener="first",protocol="",cipher="",result="ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID"} 1',
    );
  });

  it('ends those that wait when it closes instead, and has no more wait than it would take', async () => {
    const socket = await announced();
    for (let count = 0; count < 2; count++) await announced();
    await once((await announced()).resume(), 'close');
    expect(socket.readyState).toBe('open');
    await listener.close(0);
    await once(socket.resume(), 'close');
  });

  it('closes a lane that was replaced with its last connection, one in its PROXY header included', async () => {
    listener.serve();
    const before = laneTo(upstream.address() as AddressInfo, 'before');
    void listener.take(before);
    const closed = jest.spyOn(before, 'close');
    const socket = await announced();
    await new Promise((resolve) => setTimeout(resolve, 50));
    void listener.take(laneTo(upstream.address() as AddressInfo, 'after'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).not.toHaveBeenCalled();
    socket.write('PROXY UNKNOWN\r\n');
    const client = await connectTls({ port: 0, socket, ca: identity.certificatePem });
    client.write('echoed');
    await once(client, 'data');
    expect(closed).not.toHaveBeenCalled();
    client.destroy();
    await eventually(() => closed.mock.calls.length > 0);
  });

  it('has all its lanes look after the authorities of clients', async () => {
    listener.serve();
    const holding = connect(portOf(listener), '127.0.0.1').on('error', () => undefined);
    await once(holding, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 50));
    void listener.take(laneTo(upstream.address() as AddressInfo, 'second'));
    const looked = jest.spyOn(TlsTerminator.prototype, 'reloadClientAuthorities');
    await listener.reloadAuthorities();
    expect(looked).toHaveBeenCalledTimes(2);
    looked.mockRestore();
    holding.destroy();
  });

  it('has lanes that it has replaced show upstreams the successor of a certificate, and no other lane', async () => {
    listener.serve();
    const [alice, renewed, bob] = ['alice', 'alice', 'bob'].map((name) =>
      credentialOf(makeIdentity('ec-p256', [name])),
    );
    const laneShowing = (shown: Credential): Lane => {
      const parsed = l7ProxyConfigSchema.parse({ upstreams: [{ url: 'https://127.0.0.1:1' }] });
      const l7 = { ...parsed, upstreamTls: { ...parsed.upstreamTls, certificates: [] } };
      const config = { name: 'web', listen: { host: '127.0.0.1', port: 0 }, tls: terminatorConfigSchema.parse({}), l7 };
      return new Lane(config, { served, shown: [shown] }, observers);
    };
    const before = laneShowing(alice);
    void listener.take(before);
    const holding = connect(portOf(listener), '127.0.0.1').on('error', () => undefined);
    await once(holding, 'connect');
    await eventually(() => before.statistics.handshaking === 1);
    const after = laneShowing(bob);
    void listener.take(after);
    listener.renewShown(alice, renewed);
    expect([before, after].map(({ credentials }) => credentials.shown)).toEqual([[renewed], [bob]]);
    holding.destroy();
  });

  it('closes a lane that is made for it and not taken', async () => {
    const other = laneTo(upstream.address() as AddressInfo, 'other');
    const closed = jest.spyOn(other, 'close');
    await listener.discard(other);
    expect(closed).toHaveBeenCalled();
  });

  it('closes its lane when its address is taken', async () => {
    const lane = laneTo(upstream.address() as AddressInfo, 'second', { host: '127.0.0.1', port: portOf(listener) });
    const closed = jest.spyOn(lane, 'close');
    await expect(Listener.open(lane, {})).rejects.toMatchObject({ code: 'ERR_SIDECAR_LISTEN' });
    expect(closed).toHaveBeenCalled();
  });
});
