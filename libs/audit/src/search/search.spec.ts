import { TestTrail, type TrailChain } from '../../test/trail.js';
import { type ExportFormat, exportRecords } from './export.js';
import type { RecordFilter } from './filter.js';
import { searchTrail } from './search.js';

let trail: TestTrail;
let ca: TrailChain;
let tls: TrailChain;

beforeAll(() => {
  trail = new TestTrail();
  ca = trail.chain('ca', 1);
  tls = trail.chain('tls', 2);
  ca.append({ kind: 'opened', member: 'ca', pid: 1, client: 'ca', version: '1', token: { label: 'ca' }, result: 'ok' });
  const intent = ca.intent('generate', { key: { id: 'cd'.repeat(16), label: 'issuing' }, correlationId: 'c-1' });
  ca.sign('issuing', { client: 'ca', operation: 'generate', intent, correlationId: 'c-1' });
  tls.sign('web');
  ca.rotate();
  ca.sign('issuing', {
    client: 'ca',
    digest: 'ef'.repeat(32),
    result: 'ERR_HSM_TIMEOUT',
    returnValue: 'CKR_DEVICE_ERROR',
  });
  const [first, last] = ['2030-01-01T00:00:00.000Z', '2030-01-01T00:00:01.000Z'];
  tls.append({ kind: 'folded', client: 'tls', operation: 'sign', first, last, counts: { ok: 7, ERR_HSM_TIMEOUT: 1 } });
  tls.sign('=HYPERLINK("http://evil")', { client: '@a, "b"\r\nc', correlationId: '-1+1' });
});
afterAll(() => trail.remove());

async function found(filter: RecordFilter): Promise<string[]> {
  const names: string[] = [];
  for await (const { chain, record } of searchTrail({ directories: [trail.directory], filter })) {
    names.push(`${chain} ${record.seq} ${record.kind}`);
  }
  return names;
}

async function exported(format: ExportFormat): Promise<string> {
  let text = '';
  for await (const part of exportRecords(searchTrail({ directories: [trail.directory] }), format)) text += part;
  return text;
}

it('finds all records of all chains, in the order of their time', async () => {
  expect(await found({})).toEqual([
    'ca.1 1 segment',
    'tls.2 1 segment',
    'ca.1 2 opened',
    'tls.2 2 result',
    'ca.1 3 intent',
    'tls.2 3 folded',
    'ca.1 4 result',
    'tls.2 4 result',
    'ca.1 5 segment',
    'ca.1 6 result',
  ]);
});

it.each<[string, RecordFilter, string[]]>([
  ['a label', { key: 'issuing' }, ['ca.1 3 intent', 'ca.1 4 result', 'ca.1 6 result']],
  ['an id', { key: 'cd'.repeat(16) }, ['ca.1 3 intent']],
  ['an operation', { operation: 'open' }, ['ca.1 2 opened']],
  ['a client', { client: 'tls' }, ['tls.2 2 result', 'tls.2 3 folded']],
  ['a result', { result: 'ERR_HSM_TIMEOUT' }, ['tls.2 3 folded', 'ca.1 6 result']],
  ['whatever failed', { result: 'failed', client: 'ca' }, ['ca.1 6 result']],
  ['a correlation id', { correlationId: 'c-1' }, ['ca.1 3 intent', 'ca.1 4 result']],
  ['a time', { since: '2030-01-01T00:00:05Z' }, ['ca.1 5 segment', 'ca.1 6 result']],
  [
    'a range',
    { since: '2030-01-01T01:00:03+01:00', until: '2030-01-01T00:00:04Z' },
    ['ca.1 3 intent', 'tls.2 3 folded'],
  ],
  ['a day', { until: '2030-01-01' }, []],
])('finds by %s', async (_name, filter, names) => {
  expect(await found(filter)).toEqual(names);
});

it.each<[RecordFilter]>([
  [{ since: 'yesterday' }],
  [{ until: '2030-13-01' }],
  [{ since: '2030-01-02', until: '2030-01-01' }],
])('refuses %j', async (filter) => {
  await expect(found(filter)).rejects.toMatchObject({ code: 'ERR_AUDIT_ARGUMENT_INVALID' });
});

it('exports each line as it stands in the trail', async () => {
  const lines = (await exported('jsonl')).trimEnd().split('\n');
  expect(lines).toHaveLength(10);
  expect(lines[3]).toBe(`{"chain":"tls.2","record":${trail.lines(tls.file)[1]}}`);
  expect(lines.map((line) => (JSON.parse(line) as { chain: string }).chain)).toContain('ca.1');
});

it('exports CSV of RFC 4180 in which no cell is a formula', async () => {
  const text = await exported('csv');
  const [header, ...rows] = text.split('\r\n');
  expect(header).toBe(
    'time,member,chain,seq,kind,client,operation,keyLabel,keyId,mechanism,digest,result,returnValue,counts,correlationId,attempt,segment,prev',
  );
  const { prev } = JSON.parse(trail.lines(ca.file)[1]) as { prev: string };
  const signed = [
    'issuing',
    'ab'.repeat(16),
    'ecdsa-sha256',
    'ef'.repeat(32),
    'ERR_HSM_TIMEOUT',
    'CKR_DEVICE_ERROR',
    '',
    '',
  ];
  expect(rows).toContain(
    ['2030-01-01T00:00:06.000Z', 'ca', 'ca.1', 6, 'result', 'ca', 'sign', ...signed, 1, ca.file, prev].join(','),
  );
  expect(text).toContain(`,"'@a, ""b""\r\nc",sign,"'=HYPERLINK(""http://evil"")",`);
  expect(text).toContain(`,'-1+1,1,`);
  expect(text).toContain('"{""ok"":7,""ERR_HSM_TIMEOUT"":1}"');
});

it('tells when what it reads was altered, and finds what is there', async () => {
  const altered = new TestTrail();
  try {
    const chain = altered.chain();
    for (let turn = 0; turn < 3; turn++) chain.sign('key');
    altered.rewrite(chain.file, (lines) => lines.toSpliced(1, 1));
    const findings: string[] = [];
    const seqs: number[] = [];
    for await (const { record } of searchTrail({
      directories: [altered.directory],
      onFinding: (finding) => findings.push(finding),
    })) {
      seqs.push(record.seq);
    }
    expect(seqs).toEqual([1, 3, 4]);
    expect(findings).toEqual(['chain hsm-a.1: want record 2, got 3']);
  } finally {
    altered.remove();
  }
});
