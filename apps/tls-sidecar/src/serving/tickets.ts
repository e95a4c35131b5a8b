import { isDeepStrictEqual } from 'node:util';
import { Logger } from '@nestjs/common';
import type { Hsm } from '@nest-hsm/hsm';
import { SessionTickets, type SessionTicketStatus, type TlsOffloadError } from '@nest-hsm/tls-offload';
import type { Config } from '../config.js';

/** The session tickets of one configuration, for all its listeners. Where another configuration has them too, they are the same. */
export class Tickets {
  static readonly none = new Tickets(undefined, undefined);

  private constructor(
    private readonly config: Config['sessionTickets'],
    /** Undefined: there are none. */
    readonly served: SessionTickets | undefined,
  ) {}

  /**
   * @param patience  `once`: there have to be keys; `wait`: they may come later, handshakes go on without tickets
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_TICKET_KEYS
   */
  async next(
    config: Config['sessionTickets'],
    hsm: Hsm,
    { patience, failed }: { patience: 'once' | 'wait'; failed: (error: TlsOffloadError) => void },
  ): Promise<Tickets> {
    if (isDeepStrictEqual(config, this.config)) return this;
    if (config === undefined) return Tickets.none;
    const logger = new Logger('session tickets');
    let failure: TlsOffloadError | undefined;
    const served = await SessionTickets.openConfigured(hsm, config, (error) => {
      failure = error;
      logger.warn(`${error.code}: ${error.message}`);
      failed(error);
    });
    if (patience === 'wait' || failure === undefined) return new Tickets(config, served);
    await served.close();
    throw failure;
  }

  /** Gives the keys up unless the other configuration has them too: who began with them gets no ticket. */
  async stopUnless(other: Tickets): Promise<void> {
    if (this.served !== other.served) await this.served?.close();
  }

  get status(): SessionTicketStatus | undefined {
    return this.served?.status;
  }
}
