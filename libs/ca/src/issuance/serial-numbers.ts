import type { IssuerToken } from './issuer.js';

/** Octets of a serial number; RFC 5280 §4.1.2.2 allows 20, CABF BR §7.1 wants 64 bits of randomness. */
const serialBytes = 16;
const serialsPerDraw = 32;

/** Serial numbers of 126 random bits from the token's generator, drawn several at a time. */
export class SerialNumbers {
  #drawn: Buffer[] = [];

  constructor(private readonly token: Pick<IssuerToken, 'random'>) {}

  /** @returns 16 octets, positive and of full length: the two leading bits are 01 */
  async next(): Promise<Buffer> {
    let serial = this.#drawn.pop();
    while (serial === undefined) {
      const random = await this.token.random(serialBytes * serialsPerDraw);
      for (let at = 0; at < random.length; at += serialBytes) this.#drawn.push(random.subarray(at, at + serialBytes));
      serial = this.#drawn.pop();
    }
    serial[0] = (serial[0] & 0x3f) | 0x40;
    return serial;
  }
}
