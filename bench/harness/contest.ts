import { median, type Sample } from './sample.js';

/** By case. */
export type Samples = Readonly<Partial<Record<string, Sample>>>;

/** One side of a comparison; `run` is called once a round and brings samples by case. A peer need not know every case. */
export interface Contender {
  readonly name: string;
  run(): Promise<Samples>;
}

export interface CaseFacts {
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** What the project wants of the case, in words, printed beside the result; by peer where it depends on whom. */
  readonly target?: string | Readonly<Record<string, string>>;
}

/** One line of var/bench/NAME.json; ratio is above 1 where we are better, whichever direction is better. */
export interface Result {
  readonly case: string;
  readonly value: number;
  readonly unit: string;
  /** CPU microseconds of our process for one operation. */
  readonly cpu_us: number | null;
  /** The peer's value in the same unit; null where there is no peer. */
  readonly peer: number | null;
  readonly ratio: number | null;
  /** Whose value that is; a case has a line for each peer that knows it. */
  readonly peer_name: string | null;
}

/** A result with what only the table shows. */
export interface Outcome extends Result {
  readonly peerCpu: number | null;
  readonly target: string | undefined;
}

/**
 * Runs the contenders in turn, forwards and backwards, so that a machine that is slow for a while is slow for all of them, then
 * takes the median of each. The first round only warms up.
 * @param rounds  that are measured; 0: what is counted and not timed needs no warming up, and one round is all
 */
export async function contest(
  cases: Readonly<Record<string, CaseFacts>>,
  ours: Contender,
  peers: readonly Contender[],
  rounds: number,
): Promise<Outcome[]> {
  const contenders = [ours, ...peers];
  const samples = new Map(contenders.map((each): [Contender, Samples[]] => [each, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : [...contenders].reverse()) {
      const sample = await contender.run();
      if (round > 0 || rounds === 0) samples.get(contender)?.push(sample);
      progress(round, rounds, contender.name, sample);
    }
  }

  const middle = (contender: Contender | undefined, name: string, field: keyof Sample) => {
    const values = (contender && samples.get(contender))?.map((sample) => sample[name]?.[field]) ?? [];
    return values.length > 0 && values.every((value) => value !== undefined) ? median(values) : null;
  };
  return Object.entries(cases).flatMap(([name, { unit, better, target }]) => {
    const value = middle(ours, name, 'value') ?? Number.NaN;
    const compared = peers.filter((peer) => middle(peer, name, 'value') !== null);
    return (compared.length > 0 ? compared : [undefined]).map((peer) => {
      const theirs = middle(peer, name, 'value');
      return {
        case: name,
        value,
        unit,
        cpu_us: middle(ours, name, 'cpuMicroseconds'),
        peer: theirs,
        ratio: theirs === null ? null : better === 'higher' ? value / theirs : theirs / value,
        peer_name: peer?.name ?? null,
        peerCpu: middle(peer, name, 'cpuMicroseconds'),
        target: typeof target === 'object' ? target[peer?.name ?? ''] : target,
      };
    });
  });
}

function progress(round: number, rounds: number, name: string, sample: Samples): void {
  const values = Object.entries(sample).map(([name, each]) => `${name} ${each?.value.toPrecision(4)}`);
  const measured = rounds === 0 ? 'once' : `round ${round}/${rounds}`;
  const title = rounds > 0 && round === 0 ? 'warm-up' : measured;
  process.stderr.write(`  ${title}  ${name}: ${values.join('  ')}\n`);
}
