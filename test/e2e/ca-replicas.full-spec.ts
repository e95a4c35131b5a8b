import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { CaHome, CaService } from '../support/ca-service.js';
import { buildCsr } from '../support/csr.js';
import { TestPostgres } from '../support/postgres.js';

const day = 86_400_000;
const certificates = 250;

interface Notice {
  readonly id: string;
  readonly certificates: readonly { readonly serial: string }[];
}

/** Takes notices; the first one is held until it is let go. */
class Receiver {
  readonly notices: Notice[] = [];
  held: ServerResponse | undefined;
  #isHolding = true;
  readonly #server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      this.notices.push(JSON.parse(body) as Notice);
      if (this.#isHolding) this.held = response;
      else response.writeHead(204).end();
    });
  });

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  letGo(): void {
    this.#isHolding = false;
    this.held?.destroy();
  }

  get serials(): Set<string> {
    return new Set(this.notices.flatMap((notice) => notice.certificates.map(({ serial }) => serial)));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const giveUp = Date.now() + 240_000; !(await holds()); await delay(250))
    if (Date.now() > giveUp) throw new Error(`want ${what}, got none in four minutes`);
}

test('two replicas on one PostgreSQL share the jobs out, and one that is killed in the midst of one is followed by the other', async () => {
  const postgres = await TestPostgres.start();
  const receiver = new Receiver();
  const home = new CaHome({ certificateLimit: { certificates: 100_000, seconds: 60 } });
  const url = await postgres.database('ca');
  const database = new Client({ connectionString: url });
  try {
    await database.connect();
    const secretFile = home.file('webhook-secret', `whsec_${randomBytes(32).toString('base64')}`);
    const webhook = { url: await receiver.listen(), secretFile, timeoutSeconds: 60 };
    home.configure({ database: { type: 'postgres', url }, expiry: { noticeDays: [30], webhook }, ocsp: {} });

    // Both make the CA; one does.
    const [one, other] = await Promise.all([CaService.start(home), CaService.start(home)]);
    const csr = buildCsr();
    for (let made = 0; made < certificates; made += 10)
      await Promise.all(Array.from({ length: 10 }, () => one.post(csr, 'application/pkcs10')));
    await Promise.all([one.stop(), other.stop()]);
    const { rows: authorities } = await database.query<{ profile: string }>("SELECT profile FROM ca_certificate WHERE is_authority = 1 AND state = 'issued' ORDER BY profile"); // prettier-ignore
    expect(authorities.map(({ profile }) => profile)).toEqual(['issuing-ca', 'root-ca']);
    // One CRL of each CA, whichever replica made it.
    const { rows: crls } = await database.query<{ number: string }>("SELECT number FROM ca_crl WHERE state = 'issued'");
    expect(new Set(crls.map(({ number }) => number))).toEqual(new Set(['1']));

    await database.query("UPDATE ca_certificate SET not_before = $1, not_after = $2 WHERE profile = 'tls-server'", [Date.now() - 80 * day, Date.now() + 10 * day]); // prettier-ignore
    await database.query('DELETE FROM ca_expiry_position');
    const killed = await CaService.start(home);
    await until('a notice under way', () => receiver.held !== undefined);
    const survivor = await CaService.start(home);
    killed.process.kill('SIGKILL');
    await killed.exited;
    receiver.letGo();
    await until('notices of every certificate', () => receiver.serials.size === certificates);
    // One was under way when its sender died: it came again under the same id. No other came twice.
    const ids = receiver.notices.map(({ id }) => id);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([ids[0]]);

    // The one that died may have been at any job: the other one has taken every queue over, and signed what nobody has asked for.
    const finished = async (): Promise<string[]> => {
      const { rows } = await database.query<{ name: string }>("SELECT DISTINCT name FROM ca_jobs.job WHERE state = 'completed' AND completed_on > now() - interval '90 seconds'"); // prettier-ignore
      return rows.map(({ name }) => name);
    };
    const shared = ['crl', 'expiry', 'ocsp', 'recovery'];
    await until('every job done', async () => {
      const names = await finished();
      return shared.every((name) => names.includes(name));
    });
    await until('a response for every certificate, one each', async () => {
      const { rows } = await database.query<{ signed: string }>("SELECT count(*) AS signed FROM ca_ocsp_response WHERE der <> ''"); // prettier-ignore
      return Number(rows[0].signed) === certificates;
    });

    // With both alive nothing more is sent, and one job at a time is active in each queue.
    const third = await CaService.start(home);
    const sent = receiver.notices.length;
    const done = async (): Promise<number> => {
      const { rows } = await database.query<{ done: string }>("SELECT count(*) AS done FROM ca_jobs.job WHERE name = 'expiry' AND state = 'completed'"); // prettier-ignore
      return Number(rows[0].done);
    };
    const before = await done();
    await until('two more scans', async () => (await done()) >= before + 2);
    expect(receiver.notices).toHaveLength(sent);
    await Promise.all([survivor.stop(), third.stop()]);
  } finally {
    receiver.close();
    await database.end();
    home.remove();
    await postgres.stop();
  }
}, 900_000);
