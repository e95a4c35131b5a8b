import { fuzz } from './run.js';
import { makeTlsTargets } from './tls-targets.js';

/** `npm run fuzz`: minutes for all targets together, and the seed of a run that is to be repeated. */
const minutes = Number(process.env.NEST_HSM_FUZZ_MINUTES ?? 10);
const seed = Number(process.env.NEST_HSM_FUZZ_SEED ?? Date.now() & 0x7fffffff);
const names = [
  'a PROXY header',
  'the first flight of a handshake',
  'the second flight of a handshake',
  "a server's answer to our first flight",
  'what a server says once it is believed',
];
const milliseconds = (minutes * 60_000) / names.length;

test.each(names)(
  `%s, seed ${seed}`,
  async (name) => {
    const target = (await makeTlsTargets()).find((each) => each.name === name);
    if (target === undefined) throw new Error(`want a target, got none of the name ${name}`);
    expect(await fuzz(target, { seed, inputs: 1_000_000_000, milliseconds })).toBeUndefined();
  },
  milliseconds + 60_000,
);
