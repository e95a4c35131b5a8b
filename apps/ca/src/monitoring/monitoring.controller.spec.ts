import { jest } from '@jest/globals';
import { CaHealthIndicator, CertificateAuthority } from '@nest-hsm/ca';
import { type Hsm, HsmHealthIndicator } from '@nest-hsm/hsm';
import { TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import type { FastifyReply } from 'fastify';
import { Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import { TestCa } from '../../../../test/support/test-ca.js';
import { CaMetrics } from './ca-metrics.js';
import type { MonitoringController } from './monitoring.controller.js';

// Its throttler is CommonJS and requires Nest, which must have been loaded by then.
const { MonitoringController: Controller } = await import('./monitoring.controller.js');

const soundHsm = { name: 'ca', members: [{ name: 'ca', state: 'serving' }], probe: () => Promise.resolve() };

let ca: TestCa;
let controller: MonitoringController;
beforeEach(async () => {
  ca = await TestCa.create();
  ca.now = new Date();
  const authority = await ca.open();
  const module = await Test.createTestingModule({
    imports: [TerminusModule.forRoot({ logger: false })],
    controllers: [Controller],
    providers: [
      { provide: CertificateAuthority, useValue: authority },
      { provide: CaHealthIndicator, useValue: new CaHealthIndicator(authority) },
      { provide: HsmHealthIndicator, useValue: new HsmHealthIndicator(soundHsm as unknown as Hsm) },
      { provide: DataSource, useValue: ca.dataSource },
      { provide: CaMetrics, useValue: new CaMetrics(new Registry()) },
    ],
  }).compile();
  controller = module.get(Controller);
});
afterEach(() => ca.remove());

/** What so many who ask at once are answered, each as status and body. */
async function ask(askers: number): Promise<[status: number, body: unknown][]> {
  const one = async (): Promise<[number, unknown]> => {
    let status = 200;
    const reply = { status: (code: number) => (status = code) } as unknown as FastifyReply;
    const body = await controller.check(reply);
    return [status, body];
  };
  return Promise.all(Array.from({ length: askers }, one));
}

test('health asks its parts once, however many ask for it at once, and again for who comes later', async () => {
  const query = jest.spyOn(ca.dataSource, 'query');
  const answers = await ask(100);
  expect(query).toHaveBeenCalledTimes(1);
  expect(answers).toHaveLength(100);
  for (const [status, body] of answers) {
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'ok', details: { database: { status: 'up' }, ca: { status: 'up' } } });
  }
  await ask(1);
  expect(query).toHaveBeenCalledTimes(2);
});

test('health that fails is told to all who asked, without what the driver says, and is no answer for later ones', async () => {
  jest.spyOn(ca.dataSource, 'query').mockRejectedValueOnce(new Error('password authentication failed'));
  for (const [status, body] of await ask(20)) {
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: 'error', details: { database: { status: 'down' }, ca: { status: 'up' } } });
    expect(JSON.stringify(body)).not.toContain('password');
  }
  expect((await ask(1))[0][0]).toBe(200);
});
