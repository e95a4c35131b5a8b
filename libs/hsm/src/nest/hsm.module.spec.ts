import { type INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Registry } from 'prom-client';
import { TestToken } from '../../../../test/support/token.js';
import type { Hsm } from '../hsm.js';
import type { HsmHealthIndicator } from './hsm.health.js';
import { probeKeyLabel } from '../key/key.js';
import { HsmModule } from './hsm.module.js';
import { hsmHealthToken, hsmToken, InjectHsm, InjectHsmHealth } from './hsm.tokens.js';

describe('HsmModule', () => {
  const caToken = new TestToken('nest-ca');
  const tlsToken = new TestToken('nest-tls');
  afterAll(() => {
    caToken.remove();
    tlsToken.remove();
  });

  const options = (token: TestToken, registry: Registry) => {
    const { name: _, ...config } = token.config();
    return { ...config, registry };
  };
  const start = (module: unknown) =>
    NestFactory.createApplicationContext(module as Parameters<typeof NestFactory.createApplicationContext>[0], {
      logger: false,
      abortOnError: false,
    });

  describe('with two tokens', () => {
    const registry = new Registry();
    let app: INestApplicationContext;
    let ca: Hsm;
    let tls: Hsm;

    @Injectable()
    class Service {
      constructor(
        @InjectHsm('ca') readonly ca: Hsm,
        @InjectHsm('tls') readonly tls: Hsm,
        @InjectHsmHealth('ca') readonly health: HsmHealthIndicator,
      ) {}
    }

    @Module({
      imports: [
        HsmModule.forRoot({ name: 'ca', ...options(caToken, registry) }),
        HsmModule.forRootAsync({ name: 'tls', useFactory: async () => options(tlsToken, registry) }),
      ],
      providers: [Service],
    })
    class AppModule {}

    beforeAll(async () => {
      app = await start(AppModule);
      ({ ca, tls } = app.get(Service));
    });
    afterAll(() => app.close());

    it('injects each by its name', () => {
      expect(ca.members[0].token?.label).toBe('nest-ca');
      expect(tls.members[0].token?.label).toBe('nest-tls');
      expect(app.get(hsmToken('ca'))).toBe(ca);
      expect(app.get(hsmHealthToken('ca'))).toBe(app.get(Service).health);
    });

    it('counts both in one registry, told apart by the label', async () => {
      await ca.random(8);
      await tls.random(8);
      await tls.random(8);
      await expect(ca.random(0)).rejects.toThrow();
      const text = await registry.metrics();
      expect(text).toContain('nest_hsm_calls_total{hsm="ca",verb="random",code="OK"} 1');
      expect(text).toContain('nest_hsm_calls_total{hsm="ca",verb="random",code="ERR_HSM_ARGUMENT_INVALID"} 1');
      expect(text).toContain('nest_hsm_calls_total{hsm="tls",verb="random",code="OK"} 2');
      expect(text).toContain('nest_hsm_call_duration_seconds_count{hsm="tls",verb="random"} 2');
      expect(text).toContain('nest_hsm_member_call_duration_seconds_count{hsm="tls",member="nest-tls"} 2');
      expect(text).toContain(
        'nest_hsm_member_errors_total{hsm="ca",member="nest-ca",code="ERR_HSM_ARGUMENT_INVALID"} 1',
      );
      expect(text).toContain('nest_hsm_member_state{hsm="ca",member="nest-ca",state="serving"} 1');
      expect(text).toContain('nest_hsm_member_state{hsm="ca",member="nest-ca",state="down"} 0');
      expect(text).toContain('nest_hsm_calls_in_flight{hsm="ca"} 0');
      expect(text).toContain('nest_hsm_calls_queued{hsm="tls",class="interactive"} 0');
      expect(text).toContain('nest_hsm_call_wait_seconds_count{hsm="tls",class="data"} 2');
      expect(text).toContain('nest_hsm_agent_restarts_total{hsm="ca",member="nest-ca"} 0');
    });

    it('is healthy when the token signs, with a probe key that it makes once', async () => {
      const { health } = app.get(Service);
      const results = await Promise.all([health.isHealthy(), health.isHealthy(), health.isHealthy()]);
      expect(results[0]).toMatchObject({ 'hsm-ca': { status: 'up', members: { 'nest-ca': 'serving' } } });
      await expect(ca.listKeys({ label: probeKeyLabel })).resolves.toHaveLength(1);
      const text = await registry.metrics();
      expect(text).toContain('nest_hsm_member_serving{hsm="ca",member="nest-ca"} 1');
      // What the provider does for itself is no call of the application.
      expect(text).toContain('nest_hsm_own_calls_total{hsm="ca",purpose="probe",verb="sign",code="OK"}');
      expect(text).not.toContain('nest_hsm_calls_total{hsm="ca",verb="sign"');
    });
  });

  it('closes with the application: what was asked is answered, and nothing after it; health says so', async () => {
    const app = await start(HsmModule.forRoot({ name: 'ca', ...options(caToken, new Registry()) }));
    const hsm = app.get<Hsm>(hsmToken('ca'));
    const health = app.get<HsmHealthIndicator>(hsmHealthToken('ca'));
    const asked = hsm.random(16);
    await app.close();
    await expect(asked).resolves.toHaveLength(16);
    await expect(hsm.random(16)).rejects.toMatchObject({ code: 'ERR_HSM_CLOSED' });
    await expect(health.isHealthy()).resolves.toMatchObject({
      'hsm-ca': { status: 'down', message: 'ERR_HSM_CLOSED' },
    });
  });

  it('keeps an application with a wrong configuration from starting, listing every fault', async () => {
    const wrong = {
      ...options(caToken, new Registry()),
      queueLimit: 0,
      members: [caToken.member({ module: '', sessions: 0 })],
    };
    await expect(start(HsmModule.forRoot({ name: 'ca', ...wrong }))).rejects.toMatchObject({
      code: 'ERR_HSM_CONFIG_INVALID',
      message: expect.stringMatching(/module[^]*sessions|sessions[^]*module/),
    });
  });
});
