import type { ProvenUpTo } from './report.js';

/** What checkpoints know of one chain, in the order of its records: 40 bytes for each record that one of them saw. */
export class KnownHeads {
  readonly #seqs: number[] = [];
  readonly #numbers: number[] = [];
  #hashes = Buffer.alloc(32 * 16);
  /** The next one that the chain is to come by. */
  #next = 0;

  /** To be called in the order of the checkpoints. */
  add(checkpoint: number, { seq, hash }: { readonly seq: number; readonly hash: string }): void {
    const last = this.#seqs.length - 1;
    if (this.#seqs[last] === seq) {
      this.#numbers[last] = checkpoint;
      return;
    }
    const offset = 32 * this.#seqs.length;
    if (offset === this.#hashes.length) this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(offset)]);
    this.#hashes.write(hash, offset, 'hex');
    this.#seqs.push(seq);
    this.#numbers.push(checkpoint);
  }

  /**
   * Compares a record with what the checkpoints saw, each once and in order.
   * @returns undefined when none of them ended with it
   */
  meet({ seq, hash }: { readonly seq: number; readonly hash: string }): (ProvenUpTo & { isSame: boolean }) | undefined {
    while (this.#seqs[this.#next] < seq) this.#next++;
    if (this.#seqs[this.#next] !== seq) return undefined;
    const offset = 32 * this.#next;
    const isSame = this.#hashes.toString('hex', offset, offset + 32) === hash;
    return { checkpoint: this.#numbers[this.#next++], seq, isSame };
  }

  /** The last one. */
  get last(): ProvenUpTo | undefined {
    const seq = this.#seqs.at(-1);
    const checkpoint = this.#numbers.at(-1);
    return seq === undefined || checkpoint === undefined ? undefined : { seq, checkpoint };
  }
}
