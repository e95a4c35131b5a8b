import { setTimeout as delay } from 'node:timers/promises';
import { describeKills } from '../support/ca-kills.js';
import { CaHome, CaService } from '../support/ca-service.js';
import { buildCsr } from '../support/csr.js';

describeKills('postgres');

test('kill -9 at any moment of a busy hour loses no certificate a caller was given', async () => {
  const home = new CaHome();
  const csr = buildCsr();
  const given = new Set<string>();
  try {
    for (const lifeMilliseconds of [150, 400, 700]) {
      const service = await CaService.start(home);
      const callers = Array.from({ length: 8 }, async () => {
        for (;;) {
          const response = await service.post(csr, 'application/pkcs10');
          if (response.status === 201) given.add(((await response.json()) as { serial: string }).serial);
        }
      });
      await delay(lifeMilliseconds);
      service.process.kill('SIGKILL');
      await Promise.allSettled(callers);
      await service.exited;
    }
    const service = await CaService.start(home);
    const issued = new Set(
      home.sql("SELECT serial FROM ca_certificate WHERE state = 'issued'").map(({ serial }) => String(serial)),
    );
    expect(given.size).toBeGreaterThan(0);
    expect([...given].filter((serial) => !issued.has(serial))).toEqual([]);
    expect(home.sql("SELECT count(*) AS unfinished FROM ca_certificate WHERE state = 'signing'")).toEqual([
      { unfinished: 0 },
    ]);
    await service.stop();
  } finally {
    home.remove();
  }
}, 240_000);
