import { setTimeout as pause } from 'node:timers/promises';
import { measure, type MeasurementTerms } from './measurement.js';

const terms = (overrides: Partial<MeasurementTerms>): MeasurementTerms => ({
  operation: 'ecdsa-p256',
  concurrency: 4,
  seconds: 0.3,
  maximumCalls: Infinity,
  signal: new AbortController().signal,
  ...overrides,
});

test('makes as many calls at once as was said, and counts what they took', async () => {
  let underWay = 0;
  let most = 0;
  const { calls, perSecond, milliseconds, failed } = await measure(async () => {
    most = Math.max(most, ++underWay);
    await pause(5);
    underWay--;
  }, terms({}));
  expect(most).toBe(4);
  expect(calls).toBeGreaterThan(0);
  expect(perSecond).toBeCloseTo(calls / 0.3);
  expect(milliseconds.p50).toBeGreaterThan(4);
  expect(milliseconds.p95).toBeGreaterThanOrEqual(milliseconds.p50);
  expect(milliseconds.p99).toBeGreaterThanOrEqual(milliseconds.p95);
  expect(failed).toEqual({});
});

test('counts failures by their codes and in no other figure', async () => {
  let turn = 0;
  const { failed, calls } = await measure(async () => {
    await pause(2);
    if (++turn > 1) throw Object.assign(new Error('slow down'), { code: 'ERR_HSM_THROTTLED' });
  }, terms({}));
  expect(Object.keys(failed)).toEqual(['ERR_HSM_THROTTLED']);
  expect(calls).toBe(0);
});

test('counts what took longer than was to be measured', async () => {
  const { calls, perSecond, milliseconds } = await measure(() => pause(120), terms({ seconds: 0.05 }));
  expect(calls).toBe(4);
  expect(milliseconds.p50).toBeGreaterThan(100);
  expect(perSecond).toBeGreaterThan(0);
  expect(perSecond).toBeLessThan(4 / 0.1);
});

test('ends after the calls that it may make', async () => {
  let calls = 0;
  const seen = await measure(() => Promise.resolve(calls++), terms({ maximumCalls: 10, seconds: 60 }));
  expect(seen.calls).toBe(10);
  // One to see whether it works at all.
  expect(calls).toBe(11);
});

test('does not measure what fails at once, and ends when it is told to', async () => {
  await expect(measure(() => Promise.reject(new Error('no')), terms({}))).rejects.toThrow('no');
  const stopping = new AbortController();
  const measured = measure(() => pause(5), terms({ seconds: 60, signal: stopping.signal }));
  stopping.abort();
  await expect(measured).rejects.toMatchObject({ name: 'AbortError' });
});
