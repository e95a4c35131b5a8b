import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { failNextSync } from '../../../../test/support/failing-sync.js';
import { TestCollector } from '../../test/collector.js';
import { SoftwareHsm } from '../../test/software-hsm.js';
import { TestTrail, type TrailChain } from '../../test/trail.js';
import { formatCheckpoint } from '../checkpoint/checkpoint.js';
import { Checkpointer } from '../checkpoint/checkpointer.js';
import type { CollectorSettings } from './collector.js';
import { Forwarder, type ForwarderSettings } from './forwarder.js';

let trail: TestTrail;
let chain: TrailChain;
let collector: TestCollector;
let alarms: string[];

beforeEach(async () => {
  trail = new TestTrail();
  chain = trail.chain();
  collector = await TestCollector.start();
  alarms = [];
});
afterEach(async () => {
  await collector.stop();
  trail.remove();
});

const tcp = (port = collector.port): CollectorSettings => ({
  ...{ host: '127.0.0.1', port, transport: 'tcp', timeoutMilliseconds: 5_000 },
});

function forwarder(settings: Partial<ForwarderSettings> = {}): Forwarder {
  const where = { trail: 'ca-1', directories: [trail.directory], positionsFile: trail.path('positions') };
  const how = { collector: settings.collector ?? tcp(), facility: 13, enterpriseNumber: 32_473 };
  return new Forwarder({ ...where, ...how, ...settings }, (alarm) => alarms.push(alarm));
}

const written = () => trail.segments.flatMap((segment) => trail.lines(segment));
const fill = (count: number) => {
  for (let turn = 0; turn < count; turn++) chain.sign(`key ${turn}`);
};

describe('the trail is forwarded', () => {
  it('as it is, in order, with what a collector files it by', async () => {
    chain.sign('a "key" \\ of ]\n\u0007 mine', { correlationId: '=cmd' });
    chain.sign('refused', { result: 'ERR_HSM_POLICY_DENIED' });
    chain.rotate();
    expect(await forwarder().forward()).toBe(4);
    expect(collector.records).toEqual(written());
    expect(collector.received.map(({ header, data }) => [header, data])).toEqual([
      [expect.stringMatching(/^<110>1 2030-01-01T00:00:01\.000Z \S+ nest-hsm-audit - segment$/), expect.anything()],
      [
        expect.stringMatching(/^<110>1 .* result$/),
        { trail: 'ca-1', chain: 'hsm-a.1', segment: 'hsm-a.1.000001.jsonl', seq: '2' },
      ],
      [expect.stringMatching(/^<108>1 .* result$/), expect.objectContaining({ seq: '3' })],
      [expect.stringMatching(/ segment$/), expect.objectContaining({ segment: 'hsm-a.1.000002.jsonl', seq: '4' })],
    ]);
  });

  it('not once it was told to stop, also while it was not connected yet', async () => {
    const unavailable = { code: 'ERR_AUDIT_COLLECTOR_UNAVAILABLE' };
    await expect(forwarder().forward(AbortSignal.abort())).rejects.toMatchObject(unavailable);
    expect(collector.records).toEqual([]);
    expect(await forwarder().forward()).toBe(1);
  });

  it('once, by whoever goes on, and not before a line is whole', async () => {
    expect(await forwarder().forward()).toBe(1);
    expect(await forwarder().forward()).toBe(0);
    fill(3);
    appendFileSync(chain.path, '{"seq":');
    expect(await forwarder().forward()).toBe(3);
    expect(collector.records).toEqual(written().slice(0, 4));
    expect(collector.connections).toBe(2);
    expect(alarms).toEqual([]);
  });

  it('with its checkpoints, which come before a backlog', async () => {
    const file = trail.path('checkpoints');
    const settings = { trail: 'ca-1', directories: [trail.directory], file, key: 'audit' };
    const checkpointer = new Checkpointer(new SoftwareHsm(), settings);
    const sender = forwarder({ checkpointFile: file });
    expect(await sender.forward()).toBe(1);
    const first = await checkpointer.checkpoint({ first: true });
    fill(1);
    expect(await sender.forward()).toBe(2);
    const second = await checkpointer.checkpoint();
    expect(await forwarder({ checkpointFile: file }).forward()).toBe(1);
    expect(collector.received.map(({ messageId }) => messageId)).toEqual([
      'segment',
      'checkpoint',
      'result',
      'checkpoint',
    ]);
    const checkpoints = collector.received.filter(({ messageId }) => messageId === 'checkpoint');
    expect(checkpoints.map(({ text }) => text)).toEqual([first, second].map(formatCheckpoint));
    writeFileSync(file, `${formatCheckpoint(first)}\n`);
    expect(await sender.forward()).toBe(2);
    expect(collector.received.at(-1)?.text).toBe(formatCheckpoint(first));
    rmSync(file);
    expect(await sender.forward()).toBe(1);
    expect(alarms).toEqual([
      expect.stringMatching(/checkpoints, byte \d+: want the checkpoint that was there, got another line or none/),
      expect.stringMatching(/checkpoints: want it to be readable/),
    ]);
  });
});

describe('nothing is lost', () => {
  it.each<[string, TestCollector['mood'], RegExp]>([
    ['resets the connection', { resetsAfterBytes: 50_000 }, /ECONNRESET|EPIPE/],
    ['has no room for it', 'hangs up', /the end of the connection|ECONNRESET|EPIPE/],
    ['does not read', 'sleeps', /nothing for 300 ms/],
  ])('with a collector that %s', async (_name, mood, got) => {
    fill(300);
    collector.mood = mood;
    const settings = { ...tcp(), timeoutMilliseconds: 300 };
    const failed = forwarder({ collector: settings }).forward();
    await expect(failed).rejects.toMatchObject({ code: 'ERR_AUDIT_COLLECTOR_UNAVAILABLE', retryable: true });
    await expect(failed).rejects.toThrow(got);
    collector.mood = 'reads';
    collector.received.length = 0;
    expect(await forwarder().forward()).toBe(301);
    expect(collector.records).toEqual(written());
  });

  it('while none is there, and more is written', async () => {
    fill(5);
    const { port } = collector;
    await collector.stop();
    await expect(forwarder({ collector: tcp(port) }).forward()).rejects.toThrow(
      /want a batch to be taken, got ECONNREFUSED/,
    );
    fill(5);
    chain.rotate();
    collector = await TestCollector.start(undefined, port);
    expect(await forwarder().forward()).toBe(12);
    expect(collector.records).toEqual(written());
  });

  it('when positions are not to be read, and nothing is sent twice over', async () => {
    writeFileSync(trail.path('positions'), '{"version":1');
    await expect(forwarder().forward()).rejects.toMatchObject({ code: 'ERR_AUDIT_FILE_UNUSABLE' });
    writeFileSync(trail.path('positions'), '{"version":2}');
    await expect(forwarder().forward()).rejects.toMatchObject({ code: 'ERR_AUDIT_FILE_UNUSABLE' });
    expect(collector.connections).toBe(0);
  });

  it('by a power failure: what is not on the disk is not sent', async () => {
    await failNextSync(chain.path);
    await expect(forwarder().forward()).rejects.toMatchObject({ code: 'ERR_AUDIT_TRAIL_UNREADABLE' });
    expect(collector.received).toEqual([]);
    expect(await forwarder().forward()).toBe(1);
  });

  it.each<[string, number]>([
    ['of the last line that was sent', 0],
    ['after it', 1],
  ])('by a passing fault of the segment %s, and nothing is sent twice', async (_name, rotations) => {
    fill(2);
    expect(await forwarder().forward()).toBe(3);
    if (rotations > 0) chain.rotate();
    fill(2);
    const { path } = chain;
    chain.rotate();
    fill(2);
    renameSync(path, `${path}.away`);
    mkdirSync(path);
    const sender = forwarder();
    // It may pass.
    expect([await sender.forward(), ...alarms]).toEqual([0]);
    expect([await sender.forward(), await sender.forward()]).toEqual([1, 0]);
    expect(alarms).toEqual([expect.stringMatching(/byte 0: want a segment to read, got EFTYPE$/)]);
    rmdirSync(path);
    renameSync(`${path}.away`, path);
    expect(await sender.forward()).toBe(5 + rotations);
    expect(collector.records).toEqual(written());
  });

  it('while segments are moved to a directory that is named too', async () => {
    const archive = mkdtempSync(trail.path('archive-'));
    fill(2);
    const { path, file } = chain;
    await forwarder().forward();
    const records = written();
    // Moved behind the back of a listing, which finds it in neither.
    const directories = Object.assign([archive, trail.directory], {
      *[Symbol.iterator]() {
        yield archive;
        if (existsSync(path)) renameSync(path, join(archive, file));
        yield trail.directory;
      },
    });
    expect(await forwarder({ directories }).forward()).toBe(0);
    expect([alarms, collector.records]).toEqual([[], records]);
  });

  it('and two at once take turns', async () => {
    fill(20);
    const sent = await Promise.all([forwarder().forward(), forwarder().forward()]);
    expect(sent.sort()).toEqual([0, 21]);
  });
});

describe('a trail that was altered raises an alarm, once', () => {
  it('where a record does not follow, and goes on after it', async () => {
    fill(4);
    trail.rewrite(chain.file, (all) => all.toSpliced(2, 1));
    const sender = forwarder();
    await sender.forward();
    await sender.forward();
    const [alarm] = collector.received.filter(({ messageId }) => messageId === 'alarm');
    expect(alarm).toMatchObject({
      header: expect.stringMatching(/^<105>1 /),
      text: expect.stringMatching(/^chain hsm-a\.1, hsm-a\.1\.000001\.jsonl, byte \d+: want record 3, got 4$/),
    });
    expect(alarms).toEqual([alarm.text]);
    expect(collector.records).toEqual(written());
  });

  it.each<[string, number, () => void]>([
    ['cut short', 2, () => trail.rewrite(chain.file, (all) => all.slice(0, 2))],
    ['written anew', 5, () => trail.rewrite(chain.file, (all) => all.map((line) => line.replace('key', 'yek')))],
    ['gone', 0, () => rmSync(chain.path)],
  ])('where it is %s, and what is there is sent again', async (_name, left, attack) => {
    fill(4);
    const sender = forwarder();
    await sender.forward();
    collector.received.length = 0;
    attack();
    await sender.forward();
    expect(await sender.forward()).toBe(0);
    expect(collector.received[0].messageId).toBe('alarm');
    expect(alarms[0]).toBe(collector.received[0].text);
    expect(collector.records).toEqual(written());
    expect(collector.records).toHaveLength(left);
  });

  it('where a power failure took what was forwarded, and goes on with what its agent writes then', async () => {
    const before = trail.chain('hsm-b');
    before.rotate();
    fill(4);
    await forwarder().forward();
    // The last segment is gone, of the other chain the last records.
    rmSync(before.path);
    trail.rewrite(chain.file, (all) => all.slice(0, 2));
    const sender = forwarder();
    await sender.forward();
    expect(alarms).toEqual([
      expect.stringMatching(/^chain hsm-a\.1, .*: want record 5, which was read before, got the end of the segment$/),
      expect.stringMatching(/^chain hsm-b\.1, .*: want record 2, which was read before, got no such segment$/),
    ]);
    collector.received.length = 0;
    const [, last] = trail.lines(chain.file);
    const prev = createHash('sha256').update(last).digest('hex');
    appendFileSync(
      chain.path,
      `${JSON.stringify({ seq: 3, prev, time: '2030-01-02T00:00:00.000Z', kind: 'closed' })}\n`,
    );
    expect(await forwarder().forward()).toBe(1);
    expect(alarms).toHaveLength(2);
    expect(collector.records).toEqual(trail.lines(chain.file).slice(2));
  });

  it('and what it holds cannot be taken for more than one message', async () => {
    const line = `{"seq": 2,\r"prev": "${'0'.repeat(64)}",\t"time": "2030-01-01T00:00:00.000Z", "kind": "closed"}`;
    appendFileSync(chain.path, `${line}\n`);
    await forwarder().forward();
    expect(collector.records.at(-1)).toBe(line.replaceAll(/[\r\t]/g, '?'));
  });
});

describe('over TLS', () => {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: trail.directory, stdio: 'pipe' });
  /** A certificate that vouches for itself, and its key. */
  function certificate(name: string) {
    const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`];
    openssl('req', '-x509', ...key, '-out', `${name}.pem`, ...names, '-days', '2');
    const [certificateFile, keyFile] = [trail.path(`${name}.pem`), trail.path(`${name}.key`)];
    return { certificateFile, keyFile, cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
  }

  const tls = (secure: TestCollector, settings: CollectorSettings['tls']) =>
    forwarder({ collector: { ...tcp(secure.port), transport: 'tls', tls: settings } });

  it('to the collector that its certificate says, and with our own', async () => {
    const server = certificate('collector.example');
    const client = certificate('hsm.example');
    const secure = await TestCollector.start({
      cert: server.cert,
      key: server.key,
      ca: client.cert,
      requestCert: true,
    });
    try {
      fill(200);
      const known = { caFile: server.certificateFile, serverName: 'collector.example' };
      const refused = [{}, { ...known, serverName: 'other.example' }, known, { serverName: 'collector.example' }];
      for (const settings of refused) {
        await expect(tls(secure, settings).forward()).rejects.toMatchObject({
          code: 'ERR_AUDIT_COLLECTOR_UNAVAILABLE',
        });
      }
      const missing = tls(secure, { ...known, caFile: trail.path('none') });
      await expect(missing.forward()).rejects.toMatchObject({ code: 'ERR_AUDIT_FILE_UNUSABLE' });
      expect(secure.received).toEqual([]);
      const { certificateFile, keyFile } = client;
      expect(await tls(secure, { ...known, certificateFile, keyFile }).forward()).toBe(201);
      expect(secure.records).toEqual(written());
    } finally {
      await secure.stop();
    }
  });
});
