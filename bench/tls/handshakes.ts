import { type CaseFacts, contest, type Contender, type Outcome, type Samples } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { cpuMicrosecondsByThread, cpuMicrosecondsOfTree } from '../harness/process-cost.js';
import { childrenOf } from '../../test/support/processes.js';
import type { Peers } from './peers.js';
import { whileRunning } from './side.js';
import type { LoadResult, LoadTask } from './task.js';
import { type HandshakeSide, type KeyKind, TokenStage } from './token-stage.js';

const clients = 64;
/** Some thousands of handshakes: what is measured is a server that is up, not V8's compiling of it. */
const warmUpSeconds = 2;

const delays = { '0ms': 0, '2ms': 2, '5ms': 5 };
const kinds: readonly KeyKind[] = ['ec', 'rsa'];
export const handshakeCases = kinds.flatMap((kind) => Object.keys(delays).map((delay) => `${kind}-${delay}`));

const speedTargets: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'ec-2ms': { 'nginx-1': '≥ 2.5×', 'nginx-8': '≥ 0.8×' },
  'ec-5ms': { 'nginx-1': '≥ 4.5×', 'nginx-8': '≥ 0.8×' },
};

/**
 * Full TLS 1.3 handshakes a second with a key on a token that takes 0, 2 or 5 ms longer over each signature, and what CPU time one
 * costs, of all processes of the server. Where ours goes is said for each kind of thread, and what the clients take from the same cores.
 */
export async function measureHandshakes(
  wanted: readonly string[],
  peers: Peers,
  rounds: number,
  seconds: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const kind of kinds) {
    const cases = Object.entries(delays).filter(([delay]) => wanted.includes(`${kind}-${delay}`));
    if (cases.length === 0) continue;
    const stage = await TokenStage.open(kind, peers);
    try {
      for (const [delay, milliseconds] of cases) {
        stage.device.delay('C_Sign', milliseconds);
        outcomes.push(...(await compare(stage, `${kind}-${delay}`, rounds, seconds)));
      }
    } finally {
      stage.remove();
    }
  }
  return outcomes;
}

function compare(stage: TokenStage, name: string, rounds: number, seconds: number): Promise<Outcome[]> {
  const contender = (side: HandshakeSide, cases: readonly string[]): Contender => ({
    name: side.name,
    run: async () => {
      const sample = await measureSide(side, name, seconds);
      return Object.fromEntries(Object.entries(sample).filter(([each]) => cases.includes(each)));
    },
  });
  const facts: Record<string, CaseFacts> = {
    [name]: { unit: 'handshakes/s', better: 'higher', target: speedTargets[name] },
    [`${name}-cpu-us`]: {
      unit: 'µs/handshake',
      better: 'lower',
      target: name.startsWith('ec') ? '≥ 0.67× (1.5 times as much)' : undefined,
    },
    ...Object.fromEntries(
      [...parts, 'client'].map((part): [string, CaseFacts] => [
        `${name}-${part}-us`,
        { unit: 'µs/handshake', better: 'lower' },
      ]),
    ),
  };
  const ours = contender(stage.terminator(), Object.keys(facts));
  const engines = stage.engines.map((side) => contender(side, [name]));
  // It has no agent.
  const own = parts.filter((part) => part.startsWith('server')).map((part) => `${name}-${part}-us`);
  const file = contender(stage.keyInFile(), [name, `${name}-cpu-us`, `${name}-client-us`, ...own]);
  return contest(facts, ours, [...engines, file], rounds);
}

const parts = ['server-loop', 'server-other', 'agent-loop', 'agent-signing'] as const;

async function measureSide(side: HandshakeSide, name: string, seconds: number): Promise<Samples> {
  return whileRunning(side, async ({ pid, port }) => {
    const load = (duration: number): Promise<LoadResult> =>
      inProcess<LoadTask, LoadResult>(new URL('load-generator.js', import.meta.url), {
        ...{ port, rootFile: side.rootFile, clients, seconds: duration },
      });
    await load(warmUpSeconds);
    const [before, partsBefore] = [cpuMicrosecondsOfTree(pid), cpuByPart(pid)];
    const { handshakesPerSecond, handshakes, clientMicroseconds } = await load(seconds);
    const cpuMicroseconds = (cpuMicrosecondsOfTree(pid) - before) / handshakes;
    const partsAfter = cpuByPart(pid);
    return {
      [name]: { value: handshakesPerSecond, cpuMicroseconds },
      [`${name}-cpu-us`]: { value: cpuMicroseconds },
      [`${name}-client-us`]: { value: clientMicroseconds },
      ...Object.fromEntries(
        parts.map((part) => [`${name}-${part}-us`, { value: (partsAfter[part] - partsBefore[part]) / handshakes }]),
      ),
    };
  });
}

/** The server's event loop and its other threads (V8's, libuv's); the same of its agent, whose sessions are threads. */
function cpuByPart(pid: number): Record<(typeof parts)[number], number> {
  const server = cpuMicrosecondsByThread(pid);
  const agents = childrenOf(pid).map(cpuMicrosecondsByThread);
  const sum = (threads: Iterable<number>): number => [...threads].reduce((total, each) => total + each, 0);
  const loops = agents.map((threads) => threads.get('main') ?? 0);
  const serverLoop = server.get('main') ?? 0;
  return {
    'server-loop': serverLoop,
    'server-other': sum(server.values()) - serverLoop,
    'agent-loop': sum(loops),
    'agent-signing': sum(agents.map((threads) => sum(threads.values()))) - sum(loops),
  };
}
