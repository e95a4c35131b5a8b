// One HSM of the sidecar's two is frozen, then one is killed, while requests go on: its token agent stands for it.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { configFile, rootCertificate } from '../workspace/paths.mjs';
import { green, line } from '../workspace/terminal.mjs';
import { nestHsm } from './keys.mjs';
import { tool, verify } from './tool.mjs';

const requests = 12;
const recoveryMilliseconds = 15_000;

/** @param application  the sidecar */
export async function loseMembers({ sidecar, sidecarAdmin }, application) {
  const metrics = `http://127.0.0.1:${sidecarAdmin}/metrics`;
  for (const [signal, what] of [
    ['SIGSTOP', 'frozen'],
    ['SIGKILL', 'killed'],
  ]) {
    const { lost } = await fleet(metrics);
    const [agent] = childrenOf(application.pid);
    process.kill(agent, signal);
    const slowest = await request(`https://localhost:${sidecar}/records`);
    await recovered(metrics, lost + 1);
    const took = `the slowest in ${Math.round(slowest * 1_000)} ms`;
    line(
      green('✓'),
      'curl GET',
      `${requests} of ${requests} answered with one member ${what}, ${took}; it serves again`,
    );
  }
  // Ends with an error unless all members serve.
  await nestHsm`fleet status --config ${configFile('tls-sidecar')}`;
  line(green('✓'), 'nest-hsm fleet', 'both members of fleet "tls" serve');
}

/** Each on a connection of its own, hence with a signature of its own. @returns the longest time, in seconds */
async function request(url) {
  let slowest = 0;
  for (let count = 0; count < requests; count++) {
    const { stdout } = await tool`curl --silent --show-error --fail --cacert ${rootCertificate}
      --output /dev/null --write-out %{time_total} ${url}`;
    slowest = Math.max(slowest, Number(stdout));
  }
  return slowest;
}

async function recovered(metrics, lossesWanted) {
  const giveUpAt = performance.now() + recoveryMilliseconds;
  for (;;) {
    const { lost, serving } = await fleet(metrics);
    if (lost >= lossesWanted && serving === 2) return;
    verify(performance.now() < giveUpAt, 'the lost member to serve again', `${serving} serving after ${lost} losses`);
    await sleep(50);
  }
}

/** How many members serve, and how many agents were lost so far, as the sidecar counts them. */
async function fleet(metrics) {
  const { stdout } = await tool`curl --silent --show-error --fail ${metrics}`;
  const sum = (name) =>
    stdout
      .split('\n')
      .filter((each) => each.startsWith(`${name}{`))
      .reduce((total, each) => total + Number(each.split(' ').at(-1)), 0);
  return { lost: sum('nest_hsm_agent_restarts_total'), serving: sum('nest_hsm_member_serving') };
}

/** Linux only. */
function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}
