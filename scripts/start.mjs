// The main job: one HSM serving a CA, a TLS terminator and an encrypted database column, as real processes, each step
// checked by a tool that is not ours. Stays up until Ctrl-C; `--once` ends when the last check has passed.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { findPkcs11Module } from './setup/pkcs11-module.mjs';
import { writeAppConfigs } from './start/app-configs.mjs';
import { Application } from './start/application.mjs';
import { issueCertificate } from './start/certificate.mjs';
import { enrolMembers, pinnedFingerprints } from './start/enrolment.mjs';
import { invite } from './start/invitation.mjs';
import { auditFleets, listKeys } from './start/keys.mjs';
import { loseMembers } from './start/loss.mjs';
import { choosePorts } from './start/ports.mjs';
import { storeRecord } from './start/record.mjs';
import { checkTls } from './start/tls.mjs';
import { holdLock } from './workspace/lock.mjs';
import { describeNode, handedOver, projectNode } from './workspace/node.mjs';
import { allTokens, compileCache, root, tokenPaths, varDirectory } from './workspace/paths.mjs';
import { run, Stop } from './workspace/stop.mjs';
import { bold, dim, duration, green, line, say } from './workspace/terminal.mjs';

const once = process.argv.includes('--once');
const applications = [];
let isUp = false;

// For the applications and tools that it starts.
process.env.NODE_COMPILE_CACHE = compileCache;

await run(async () => {
  if (handedOver()) return;
  checkSetUp();
  holdLock(join(varDirectory, 'run', 'start.lock'), 'nest-hsm runs');
  const ended = endOfJob();
  try {
    const ports = await prepare();
    await Promise.race([mainJob(ports, ended.fail), ended.promise]);
    if (once) return;
    invite(ports);
    isUp = true;
    await ended.promise;
  } finally {
    await Promise.all(applications.map((application) => application.stop()));
    if (isUp || once) say(dim('All processes have ended.'));
  }
});

function checkSetUp() {
  const wanted = [join(root, 'dist/apps/ca/main.js'), ...allTokens.map((token) => tokenPaths(token).directory)];
  const missing = wanted.find((path) => !existsSync(path));
  if (missing) throw new Stop(`${missing} is not there: use "npm start", which sets up first.`);
}

async function prepare() {
  say(`\n${bold('nest-hsm')} on ${describeNode(projectNode())}`);
  say(
    dim(
      'Two HSMs (SoftHSM; a token each for ca, tls and data), three jobs. All that is made at run time is under var/.',
    ),
  );
  const { ports, taken } = await choosePorts();
  for (const sentence of taken) say(`  ${sentence}`);
  writeAppConfigs(ports, findPkcs11Module(), pinnedFingerprints());
  return ports;
}

/** The whole story, each part with its own proof. */
async function mainJob(ports, onUnexpectedEnd) {
  const started = performance.now();
  const start = async (name, title, url, healthUrl) => {
    const application = new Application(name, title);
    applications.push(application);
    const begun = performance.now();
    await application.start(healthUrl, onUnexpectedEnd);
    line(green('✓'), title, url, performance.now() - begun);
    return application;
  };

  await enrolMembers(ports, findPkcs11Module());
  say(bold('\n1  A certificate authority whose keys live in fleet "ca"'));
  await start('ca', 'CA', `http://127.0.0.1:${ports.ca}`, `http://127.0.0.1:${ports.ca}/health`);
  await issueCertificate(ports);

  say(bold('\n2  HTTPS with a private key that lives in fleet "tls"'));
  await start('records', 'records', `http://127.0.0.1:${ports.records}`, `http://127.0.0.1:${ports.records}/health`);
  const sidecar = await start(
    'tls-sidecar',
    'TLS sidecar',
    `https://localhost:${ports.sidecar}`,
    `http://127.0.0.1:${ports.sidecarAdmin}/health`,
  );
  await checkTls(ports);

  say(bold('\n3  A database column encrypted under a key that lives in fleet "data"'));
  await storeRecord(ports);

  if (process.platform === 'linux') {
    say(bold('\n4  An HSM dies, and nobody notices'));
    await loseMembers(ports, sidecar);
  }

  say(bold('\n5  What the three fleets hold, and whether the record of its use is whole'));
  await listKeys();
  await auditFleets();
  say(`\n${green('✓')} Each step was checked by a tool that is not ours, in ${duration(performance.now() - started)}.`);
}

/** Settles when the job must end: a signal once it is up, or a fault. A second signal ends everything at once. */
function endOfJob() {
  const { promise, resolve, reject: fail } = Promise.withResolvers();
  // It may fail while nothing waits for it yet.
  promise.catch(() => {});
  let signalled = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signalled) {
        for (const application of applications) application.kill();
        process.exit(1);
      }
      signalled = true;
      say(dim(`\nStopping (${signal}).`));
      if (isUp) resolve();
      else fail(new Stop('interrupted before the main job was done.'));
    });
  }
  return { promise, fail };
}
