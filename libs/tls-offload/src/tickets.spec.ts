import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { Hsm, type HsmKey } from '@nest-hsm/hsm';
import { TestToken } from '../../../test/support/token.js';
import { ClientPki } from '../test/client-pki.js';
import { credentialOf, makeIdentity, softwareSigner } from '../test/identity.js';
import { connectTls, deferred, eventually, listen, type Listener } from '../test/listen.js';
import type { TlsOffloadError } from './errors.js';
import type { TlsSocket } from './socket.js';
import { TlsTerminator, type TerminatorOptions } from './terminator.js';
import { TicketKeyDirectory } from './ticket-key-store.js';
import { type SessionTicketOptions, SessionTickets } from './tickets.js';

const identity = makeIdentity('ec-p256', ['localhost', 'other.example']);
const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-tickets-'));
const token = new TestToken('tls');
const pki = new ClientPki();
const opened: SessionTickets[] = [];
let hsm: Hsm;
let key: HsmKey;
let count = 0;

beforeAll(async () => {
  hsm = await Hsm.open(token.config());
  key = await hsm.generateSecretKey({ label: 'tickets', algorithm: 'aes-256', usage: 'encrypt' });
});
afterAll(async () => {
  await Promise.all(opened.map((each) => each.close()));
  await hsm.close();
  token.remove();
  pki.remove();
  rmSync(directory, { recursive: true });
});

const newDirectory = (): string => join(directory, String(count++));

async function openTickets(store: string, options: Partial<SessionTicketOptions> = {}): Promise<SessionTickets> {
  const tickets = await SessionTickets.open({ hsm, key, store: new TicketKeyDirectory(store), ...options });
  opened.push(tickets);
  return tickets;
}

async function serve(tickets: SessionTickets, options: Partial<TerminatorOptions> = {}) {
  const signer = softwareSigner(identity);
  const seen: TlsSocket[] = [];
  const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer)], tickets, ...options });
  const listener = await listen(terminator, (socket) => {
    seen.push(socket);
    socket.end('welcome');
  });
  return { terminator, listener, signer, seen };
}

/** One connection to its end. @returns the last session that came, and whether it was resumed */
async function visit({ port }: Listener, options: ConnectionOptions = {}) {
  const socket = await connectTls({ port, ca: identity.certificatePem, ...options });
  let session: Buffer | undefined;
  let heard = '';
  socket.on('session', (fresh: Buffer) => (session = fresh));
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  await new Promise<void>((resolve, reject) => {
    socket.once('end', () => resolve());
    socket.once('error', reject);
  });
  const resumed = socket.isSessionReused();
  socket.destroy();
  return { session, resumed, heard };
}

describe('a session', () => {
  it('is resumed by another replica without a signature, in TLS 1.3', async () => {
    const store = newDirectory();
    const first = await serve(await openTickets(store));
    await using _ = first.listener;
    const second = await serve(await openTickets(store));
    await using __ = second.listener;
    const { session } = await visit(first.listener);
    const again = await visit(second.listener, { session });
    expect(again).toMatchObject({ resumed: true, heard: 'welcome' });
    expect(second.signer.calls).toBe(0);
    expect(second.seen[0].isSessionReused()).toBe(true);
    expect(second.terminator.statistics).toMatchObject({ resumed: 1, completed: { 'TLSv1.3': 1 } });
    expect((await visit(first.listener, { session: again.session })).resumed).toBe(true);
  });

  it('is not resumed in TLS 1.2', async () => {
    const { listener } = await serve(await openTickets(newDirectory()));
    await using _ = listener;
    const client = await connectTls({ port: listener.port, ca: identity.certificatePem, maxVersion: 'TLSv1.2' });
    expect(client.getTLSTicket()).toBeUndefined();
    const session = client.getSession();
    client.destroy();
    expect((await visit(listener, { session, maxVersion: 'TLSv1.2' })).resumed).toBe(false);
  });

  it('of one server name is not resumed for another', async () => {
    const { listener } = await serve(await openTickets(newDirectory()));
    await using _ = listener;
    const { session } = await visit(listener);
    expect((await visit(listener, { session, servername: 'other.example' })).resumed).toBe(false);
    expect((await visit(listener, { session })).resumed).toBe(true);
  });

  it('of one scope is not resumed in another', async () => {
    const tickets = await openTickets(newDirectory());
    const shop = await serve(tickets, { ticketScope: 'shop' });
    await using _ = shop.listener;
    const database = await serve(tickets, { ticketScope: 'database' });
    await using __ = database.listener;
    const { session } = await visit(shop.listener);
    expect((await visit(database.listener, { session })).resumed).toBe(false);
    expect((await visit(shop.listener, { session })).resumed).toBe(true);
  });

  it('is not resumed for long after its handshake, however often its ticket was renewed', async () => {
    const { listener, signer } = await serve(await openTickets(newDirectory(), { sessionSeconds: 3 }));
    await using _ = listener;
    let last = await visit(listener);
    const again: boolean[] = [];
    await eventually(async () => {
      last = await visit(listener, { session: last.session });
      again.push(last.resumed);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return !last.resumed;
    });
    expect([again[0], again.at(-1), signer.calls]).toEqual([true, false, 2]);
    expect((await visit(listener, { session: last.session })).resumed).toBe(true);
  });

  it('is not resumed once its key is gone, nor are tickets then given', async () => {
    const tickets = await openTickets(newDirectory());
    const { listener } = await serve(tickets);
    await using _ = listener;
    const { session } = await visit(listener);
    await tickets.close();
    expect(tickets.status.isIssuing).toBe(false);
    expect(await visit(listener, { session })).toEqual({ session: undefined, resumed: false, heard: 'welcome' });
  });

  it('begins without a ticket when the keys go in the middle of its handshake', async () => {
    const tickets = await openTickets(newDirectory());
    const { listener, signer } = await serve(tickets);
    await using _ = listener;
    const keysAreGone = deferred<void>();
    signer.before = () => keysAreGone.promise;
    const visiting = visit(listener);
    await eventually(() => signer.calls === 1);
    await tickets.close();
    keysAreGone.resolve();
    expect(await visiting).toEqual({ session: undefined, resumed: false, heard: 'welcome' });
  });
});

describe('a client certificate', () => {
  const caFile = pki.file('authorities.pem');
  const crlFile = pki.file('crl.pem');
  const policy = (): Partial<TerminatorOptions> => ({
    clientCertificates: { mode: 'required', caFile, crlFiles: [crlFile], reloadIntervalMilliseconds: 3_600_000 },
    clientCertificatesByName: { 'other.example': {} },
  });
  beforeEach(() => {
    pki.write('authorities.pem', pki.root);
    pki.write('crl.pem', pki.crl());
  });

  it('is known again, and judged again by the CRL of now', async () => {
    const { listener, terminator, seen } = await serve(await openTickets(newDirectory()), policy());
    await using _ = listener;
    const alice = pki.client();
    const { session } = await visit(listener, alice);
    expect((await visit(listener, { ...alice, session })).resumed).toBe(true);
    expect(seen[1].authorized).toBe(true);
    expect(seen[1].peerCertificateChain.map(({ raw }) => raw)).toEqual(
      seen[0].peerCertificateChain.map(({ raw }) => raw),
    );

    pki.revoke(alice);
    pki.write('crl.pem', pki.crl());
    await terminator.reloadClientAuthorities();
    await expect(visit(listener, { ...alice, session })).rejects.toThrow(/certificate revoked/);
    // Without a certificate to show instead.
    await expect(visit(listener, { session })).rejects.toThrow(/certificate required/);
  });

  it('is asked for anew when the authorities have changed', async () => {
    const { listener, terminator } = await serve(await openTickets(newDirectory()), policy());
    await using _ = listener;
    const alice = pki.client();
    const { session } = await visit(listener, alice);
    pki.write('authorities.pem', pki.root + anotherRoot());
    await terminator.reloadClientAuthorities();
    expect((await visit(listener, { ...alice, session })).resumed).toBe(false);
  });

  it('in a ticket of another name is not even looked at', async () => {
    const clientCertificates = { mode: 'required', caFile } as const;
    const clientCertificatesByName = {
      'other.example': { ...clientCertificates, allow: [{ dnsName: 'bob.example' }] },
    };
    const { listener, terminator } = await serve(await openTickets(newDirectory()), { clientCertificates, clientCertificatesByName }); // prettier-ignore
    await using _ = listener;
    const { session } = await visit(listener, pki.client());
    await expect(visit(listener, { session, servername: 'other.example' })).rejects.toThrow(/certificate required/);
    expect(terminator.statistics.clientCertificates.refusals).toEqual({});
  });

  it('is not avoided with a ticket of a name that asks for none', async () => {
    const { listener } = await serve(await openTickets(newDirectory()), policy());
    await using _ = listener;
    const { session } = await visit(listener, { servername: 'other.example' });
    await expect(visit(listener, { session })).rejects.toThrow(/certificate required/);
  });
});

describe('the keys', () => {
  it('are wrapped, for two periods ahead at most, and the first replica to write one wins', async () => {
    const store = newDirectory();
    await Promise.all([openTickets(store), openTickets(store), openTickets(store)]);
    const files = readdirSync(store);
    expect(files.every((file) => /^14400-\d+\.ticket-key$/.test(file))).toBe(true);
    expect([1, 2]).toContain(files.length);
    for (const file of files) {
      expect(statSync(join(store, file)).mode & 0o777).toBe(0o600);
      // Nonce length, nonce, 80 bytes, tag.
      expect(readFileSync(join(store, file)).length).toBe(1 + 12 + 80 + 16);
    }
  });

  it('of periods that are over are deleted', async () => {
    const store = newDirectory();
    const tickets = await openTickets(store);
    const period = Math.floor(Date.now() / 14_400_000);
    for (const old of [period - 3, period - 2, period - 1]) writeFileSync(join(store, `14400-${old}.ticket-key`), 'x');
    await tickets.refresh();
    const left = readdirSync(store).filter((file) => Number(/-(\d+)/.exec(file)?.[1]) < period);
    expect(left).toEqual([`14400-${period - 1}.ticket-key`]);
  });

  it('of other lifetimes are deleted when no ticket is left of theirs, and not before', async () => {
    const store = newDirectory();
    const tickets = await openTickets(store);
    const hour = Math.floor(Date.now() / 3_600_000);
    const files = [hour, hour - 6, hour - 9].map((period) => `3600-${period}.ticket-key`);
    for (const file of files) writeFileSync(join(store, file), 'x');
    await tickets.refresh();
    expect(readdirSync(store).filter((file) => file.startsWith('3600-'))).toEqual([files[0]]);
  });

  it.each([
    ['spoilt in the store', (wrapped: Buffer) => wrapped.fill(7, 20, 30)],
    ['cut off', (wrapped: Buffer) => wrapped.subarray(0, 40)],
  ])('are not used when they are %s: handshakes go on without', async (_what, spoil) => {
    const store = newDirectory();
    await openTickets(store);
    for (const file of readdirSync(store)) {
      const path = join(store, file);
      writeFileSync(path, spoil(readFileSync(path)));
    }
    const failures: TlsOffloadError[] = [];
    const tickets = await openTickets(store, { failed: (error) => failures.push(error) });
    expect(tickets.status.isIssuing).toBe(false);
    expect(failures[0]).toMatchObject({ code: 'ERR_TLS_OFFLOAD_TICKET_KEYS' });
    const { listener } = await serve(tickets);
    await using _ = listener;
    expect(await visit(listener)).toMatchObject({ session: undefined, heard: 'welcome' });
  });

  it('are wrapped by a key that is made, found by its label, and may be rotated', async () => {
    const config = { keyLabel: 'wrapping', directory: newDirectory(), lifetimeSeconds: 14_400, sessionSeconds: 43_200 };
    const failures: TlsOffloadError[] = [];
    const open = async (): Promise<SessionTickets> => {
      const tickets = await SessionTickets.openConfigured(hsm, config, (error) => failures.push(error));
      opened.push(tickets);
      return tickets;
    };
    const first = await serve(await open());
    await using _ = first.listener;
    const { session } = await visit(first.listener);
    await hsm.rotateKey('wrapping');
    const second = await serve(await open());
    await using __ = second.listener;
    expect((await visit(second.listener, { session })).resumed).toBe(true);
    expect(failures).toEqual([]);
  });

  it('of another period do not pass for those of this one', async () => {
    const store = newDirectory();
    await openTickets(store);
    const period = Math.floor(Date.now() / 14_400_000);
    const file = (of: number): string => join(store, `14400-${of}.ticket-key`);
    writeFileSync(file(period - 1), readFileSync(file(period)));
    const failures: TlsOffloadError[] = [];
    const tickets = await openTickets(store, { failed: (error) => failures.push(error) });
    expect(failures).toHaveLength(1);
    // The others are of use, whichever comes first.
    expect(tickets.status.isIssuing).toBe(true);
  });

  it('come by themselves once the HSM is back', async () => {
    let isAway = true;
    const away = {
      random: (bytes: number) => (isAway ? Promise.reject(new Error('away')) : hsm.random(bytes)),
      encrypt: hsm.encrypt.bind(hsm),
      decrypt: hsm.decrypt.bind(hsm),
    };
    const tickets = await openTickets(newDirectory(), { hsm: away, lifetimeSeconds: 60 });
    expect(tickets.status.isIssuing).toBe(false);
    isAway = false;
    await tickets.refresh();
    await eventually(() => tickets.status.isIssuing);
  });

  it.each([
    ['a lifetime beyond four hours', { lifetimeSeconds: 14_401 }],
    ['sessions of more than a week', { sessionSeconds: 604_801 }],
    ['a key of another use', { key: { usage: 'sign', label: 'x' } as HsmKey }],
  ])('are refused with %s', async (_what, options) => {
    await expect(openTickets(newDirectory(), options)).rejects.toMatchObject({
      code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID',
    });
  });
});

function anotherRoot(): string {
  const other = new ClientPki();
  const { root } = other;
  other.remove();
  return root;
}
