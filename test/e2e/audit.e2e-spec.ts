import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm } from '@nest-hsm/hsm';
import { TestCollector } from '../../libs/audit/test/collector.js';
import { eventually } from '../support/eventually.js';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

const program = 'dist/apps/cli/main.js';
const nestHsm = (...args: string[]): Promise<Outcome> => runProcess(process.execPath, [program, ...args]);

/** An application whose agents write a trail, and its auditor with a token of his own. */
class Audited {
  readonly token = new TestToken('shop');
  readonly auditToken = new TestToken('audit');
  readonly directory = join(this.token.directory, 'trail');
  readonly application = join(this.token.directory, 'application.yaml');
  readonly auditFile = join(this.auditToken.directory, 'audit.yaml');
  readonly checkpoints = join(this.auditToken.directory, 'checkpoints');

  constructor(syslog?: { readonly host: string; readonly port: number; readonly transport: 'tcp' }) {
    const hsm = this.token.config({ audit: { directory: this.directory, issuerKeys: ['issuing'] } });
    writeFileSync(this.application, JSON.stringify({ hsm }));
    const positionsFile = join(this.auditToken.directory, 'positions');
    const checkpoints = { file: this.checkpoints, key: 'checkpoints', everySeconds: 1 };
    const audit = {
      trail: 'shop-1',
      directories: [this.directory],
      checkpoints,
      syslog: syslog && { ...syslog, positionsFile },
    };
    writeFileSync(this.auditFile, JSON.stringify({ hsm: this.auditToken.config(), audit }));
  }

  async makeCheckpointKey(): Promise<void> {
    const hsm = await Hsm.open(this.auditToken.config());
    await hsm.generateKeyPair({ label: 'checkpoints', algorithm: 'ec-p256' });
    await hsm.close();
  }

  /** A run of the application, which signs so often with each key. */
  async signs(count: number, labels = ['issuing']): Promise<void> {
    const hsm = await Hsm.open(this.token.config({ audit: { directory: this.directory, issuerKeys: ['issuing'] } }));
    for (const label of labels) {
      const [found] = await hsm.listKeys({ label });
      const key = found ?? (await hsm.generateKeyPair({ label, algorithm: 'ec-p256' }));
      const options = { correlationId: `order-${label}` };
      const calls = Array.from({ length: count }, () => hsm.sign(key, 'ecdsa-sha256', Buffer.from('x'), options));
      await Promise.all(calls);
    }
    await hsm.close();
  }

  get segments(): string[] {
    return readdirSync(this.directory).filter((name) => name.endsWith('.jsonl'));
  }

  get lines(): string[] {
    return this.segments.flatMap((name) => readFileSync(join(this.directory, name), 'utf8').trimEnd().split('\n'));
  }

  remove(): void {
    this.token.remove();
    this.auditToken.remove();
  }
}

test('an auditor proves a real trail offline, and finds in it', async () => {
  const audited = new Audited();
  try {
    const { auditFile, auditToken, checkpoints, directory } = audited;
    await Promise.all([audited.signs(20, ['issuing', 'web']), audited.makeCheckpointKey()]);
    // As docs/AUDITING.md says it.
    const anchor = join(auditToken.directory, 'anchor');
    const commands = `{ node ${program} key show checkpoints -c "$1"; node ${program} audit checkpoint --first -c "$1"; } > "$2"`;
    expect(await runProcess('sh', ['-ec', commands, 'sh', auditFile, anchor])).toMatchObject({ code: 0, stderr: '' });

    const verify = (...args: string[]) => nestHsm('audit', 'verify', directory, ...args);
    const [anchored, found, exported] = await Promise.all([
      verify('--checkpoints', checkpoints, '--anchor', anchor),
      nestHsm('audit', 'search', directory, '--key', 'issuing', '--operation', 'generate'),
      nestHsm('audit', 'export', directory, '--format', 'jsonl', '--correlation-id', 'order-web'),
    ]);
    expect(anchored).toMatchObject({ code: 0, stderr: '' });
    expect(anchored.stdout).toMatch(/^ {2}proven up to record \d+ by anchored checkpoint 1\nintact, and anchored\n$/m);
    expect(found.stdout.split('\n')).toEqual([
      expect.stringMatching(/^\S+Z shop\.1 \d+ intent generate issuing ec-p256 by application/),
      expect.stringMatching(/^\S+Z shop\.1 \d+ result generate issuing ec-p256 by application: ok/),
      '',
    ]);
    const texts = exported.stdout.trimEnd().split('\n');
    const records = texts.map((text) => (JSON.parse(text) as { record: object }).record);
    expect(records).toHaveLength(20);
    expect(records[0]).toMatchObject({ operation: 'sign', key: { label: 'web' }, result: 'ok', client: 'application' });

    // A tail that is cut off: the chain alone does not show it.
    const segment = join(directory, audited.segments[0]);
    const kept = audited.lines.slice(0, -5).map((line) => `${line}\n`);
    writeFileSync(segment, kept.join(''));
    const [alone, cut, refused] = await Promise.all([
      verify('--json'),
      verify('--anchor', anchor),
      nestHsm('audit', 'checkpoint', '-c', auditFile),
    ]);
    const chain = { name: 'shop.1', proven: {}, findings: [] };
    expect(alone.code).toBe(0);
    expect(JSON.parse(alone.stdout)).toMatchObject({ isIntact: true, isAnchored: false, chains: [chain] });
    expect(cut).toMatchObject({ code: 1, stdout: expect.stringMatching(/^ {2}ALTERED \(truncated\) /m) });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^nest-hsm: ERR_AUDIT_TRAIL_ALTERED: /) });
  } finally {
    audited.remove();
  }
}, 300_000);

test('every record and checkpoint reaches the collector, though it goes away and the keeper is killed', async () => {
  let collector = await TestCollector.start();
  const { port } = collector;
  const audited = new Audited({ host: '127.0.0.1', port, transport: 'tcp' });
  let keeper: ChildProcess | undefined;
  // What it says of its work goes to a full disk.
  const log = openSync(existsSync('/dev/full') ? '/dev/full' : '/dev/null', 'w');
  try {
    const keep = () =>
      (keeper = spawn(process.execPath, [program, 'audit', 'run', '-c', audited.auditFile], {
        stdio: ['ignore', log, log],
      }));

    await Promise.all([audited.signs(50), audited.makeCheckpointKey()]);
    expect(await nestHsm('audit', 'checkpoint', '--first', '-c', audited.auditFile)).toMatchObject({ code: 0 });
    keep();
    await eventually(() => collector.records.length > 0);
    keeper?.kill('SIGKILL');
    await audited.signs(50);
    const received = new Set(collector.received.map(({ text }) => text));
    await collector.stop();
    keep();
    await audited.signs(50);
    await pause(500);
    collector = await TestCollector.start(undefined, port);
    const texts = () => new Set([...received, ...collector.received.map(({ text }) => text)]);
    await eventually(() => audited.lines.every((line) => texts().has(line)));
    await eventually(() =>
      readFileSync(audited.checkpoints, 'utf8')
        .split('\n')
        .some((line) => line !== '' && texts().has(line)),
    );
    expect([...texts()].filter((text) => text.startsWith('{"seq":')).sort()).toEqual(audited.lines.sort());

    keeper?.kill('SIGTERM');
    expect(await once(keeper ?? process, 'exit')).toEqual([expect.any(Number), null]);
  } finally {
    keeper?.kill('SIGKILL');
    closeSync(log);
    await collector.stop();
    audited.remove();
  }
}, 300_000);
