import { monitorEventLoopDelay } from 'node:perf_hooks';
import { CertificateAuthority, caStores, openCaDatabase } from '@nest-hsm/ca';
import { Hsm } from '@nest-hsm/hsm';
import { perform } from '../harness/process.js';
import type { CrlResult, CrlTask } from './crl.js';

const key = (label: string) => ({ label, subject: { commonName: label }, algorithm: 'ec-p256' as const });

perform<CrlTask, CrlResult>(async ({ hsm: config, entries, database }) => {
  const token = await Hsm.open(config);
  const dataSource = await openCaDatabase({ type: 'better-sqlite3', database });
  const observer = {
    jobFailed: (job: string, error: unknown) => void process.stderr.write(`${job}: ${String(error)}\n`),
  };
  const authority = { root: key('root'), issuing: key('issuing'), initialize: true };
  const ca = await CertificateAuthority.open({ token, ...caStores(dataSource), config: { authority }, observer });
  const columns = 'issuer_id, serial, state, reason, revoked_at, shard, not_after, requester, sequence';
  await dataSource.query(
    `WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ${entries})
     INSERT INTO ca_revocation (${columns})
     SELECT '${ca.issuer.id}', lower(hex(randomblob(16))), 'revoked', 1, ${Date.now() - 3_600_000}, 0, ${Date.now() + 1e9}, 'bench', n FROM counter`,
  );
  await dataSource.query(`UPDATE ca_status_sequence SET sequence = ${entries} WHERE issuer_id = '${ca.issuer.id}'`);
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const start = performance.now();
  await ca.status.refreshCrls();
  const seconds = (performance.now() - start) / 1000;
  loop.disable();
  const [watch] = ca.status.watch();
  if (watch.entries !== entries) throw new Error(`bench: want a CRL of ${entries} entries, got ${watch.entries}`);
  const peakMegabytes = process.resourceUsage().maxRSS / 1024;
  await ca.close();
  await dataSource.destroy();
  await token.close();
  return { seconds, peakMegabytes, stallMilliseconds: loop.max / 1e6 };
});
