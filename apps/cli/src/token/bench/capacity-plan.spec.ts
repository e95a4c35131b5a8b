import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDemand, planCapacity } from './capacity-plan.js';
import { type Figures, readFigures } from './figures.js';
import type { OperationName } from './operation.js';

const figures = (perHsm: Partial<Record<OperationName, number>>): Figures => ({
  source: 'measured',
  perHsm: new Map(Object.entries(perHsm) as [OperationName, number][]),
});

describe('a demand', () => {
  test.each([
    ['tls=2000/s ecdsa-p256', { role: 'tls', perSecond: 2000, operation: 'ecdsa-p256' }],
    [' ca=0.5/s   rsa-3072 ', { role: 'ca', perSecond: 0.5, operation: 'rsa-3072' }],
  ])('%j is understood', (text, demand) => {
    expect(parseDemand(text)).toEqual(demand);
  });

  test.each([
    ['tls=2000 ecdsa-p256', /want ROLE=RATE\/s OPERATION/],
    ['2000/s ecdsa-p256', /want ROLE=RATE\/s OPERATION/],
    ['tls=-1/s ecdsa-p256', /want ROLE=RATE\/s OPERATION/],
    ['tls=0/s ecdsa-p256', /want ROLE=RATE\/s OPERATION/],
    ['tls=1e9/s ecdsa-p256', /want ROLE=RATE\/s OPERATION/],
    ['tls=5/s', /want ROLE=RATE\/s OPERATION/],
    ['tls=5/s dsa', /want one of ecdsa-p256, .*, got "dsa"/],
  ])('%j is refused', (text, message) => {
    expect(() => parseDemand(text)).toThrow(message);
  });
});

describe('a plan', () => {
  test.each([
    // 1 of an HSM's time at 70 % is two HSMs, and one to lose.
    ['one that fills an HSM', { 'ecdsa-p256': 1000 }, ['tls=1000/s ecdsa-p256'], 3, 0.5],
    ['a small one', { 'ecdsa-p256': 1000 }, ['tls=1/s ecdsa-p256'], 2, 0.001],
    ['one that fits exactly', { 'ecdsa-p256': 1000 }, ['tls=700/s ecdsa-p256'], 2, 0.7],
    ['several', { 'ecdsa-p256': 1000, unwrap: 500 }, ['tls=1000/s ecdsa-p256', 'data=1000/s unwrap'], 6, 0.6],
  ])('for %s', (_name, perHsm, demands, hsms, oneLost) => {
    const plan = planCapacity(demands.map(parseDemand), figures(perHsm), 0.7);
    expect(plan.hsms).toBe(hsms);
    expect(plan.utilisation.oneLost).toBeCloseTo(oneLost);
    expect(plan.utilisation.all).toBeCloseTo((oneLost * (hsms - 1)) / hsms);
  });

  test('is not made from figures that say nothing of an operation', () => {
    const plan = () => planCapacity([parseDemand('ca=50/s rsa-3072')], figures({ 'rsa-2048': 800 }), 0.7);
    expect(plan).toThrow('rsa-3072: want a figure for it measured, got rsa-2048');
  });
});

describe('figures', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-figures-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('that a vendor publishes are those of the worst of its clusters', async () => {
    const { source, perHsm } = await readFigures('aws-cloudhsm-hsm2m.medium');
    expect(source).toMatch(/AWS/);
    expect(Object.fromEntries(perHsm)).toEqual({ 'rsa-2048': 5000 / 6, 'ecdsa-p256': 7000 / 6 });
  });

  test('of a file are the most of any concurrency, for one of its HSMs', async () => {
    const file = join(directory, 'figures.json');
    const measurements = [400, 1_000, 900].map((perSecond) => ({ operation: 'unwrap', perSecond, concurrency: 1 }));
    writeFileSync(file, JSON.stringify({ source: 'measured', hsms: 2, measurements }));
    expect(Object.fromEntries((await readFigures(file)).perHsm)).toEqual({ unwrap: 500 });
  });

  test.each([
    ['none', undefined, /want aws-cloudhsm-hsm1.medium, .* or a file .*ENOENT/],
    ['no JSON', '{', /want aws-cloudhsm-hsm1.medium, .* or a file/],
    ['no measurements', '{"source":"x","hsms":1,"measurements":[]}', /measurements/],
    ['nonsense', '{"source":"x","hsms":0,"measurements":[{"operation":"x","perSecond":-1}]}', /hsms[^]*operation/],
  ])('that are %s are refused', async (_name, text, message) => {
    const file = join(directory, 'faulty.json');
    rmSync(file, { force: true });
    if (text !== undefined) writeFileSync(file, text);
    await expect(readFigures(file)).rejects.toThrow(message);
  });
});
