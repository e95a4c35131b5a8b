import type { ExchangeRecord, L4ConnectionEvent } from '@nest-hsm/tls-offload';

/** Where lines go: pino, in JSON. */
export interface AccessLines {
  info(line: object, message: string): void;
}

/**
 * One line for each connection (L4) or request (L7), of a share of them that is drawn. No line has a query, a header or anything
 * that was sent inside.
 */
export class AccessLog {
  /** 0: nothing is logged. Changed by a reload. */
  sample: number;

  constructor(
    private readonly lines: AccessLines,
    sample: number,
  ) {
    this.sample = sample;
  }

  connection(listener: string, event: L4ConnectionEvent): void {
    if (!this.#isDrawn()) return;
    const { milliseconds, ...rest } = event;
    this.lines.info({ listener, ...rest, milliseconds: Math.round(milliseconds) }, 'connection');
  }

  request(listener: string, { path, durationMilliseconds, fault, ...rest }: ExchangeRecord): void {
    if (!this.#isDrawn()) return;
    const milliseconds = Math.round(durationMilliseconds);
    const line = { listener, ...rest, path: path.split('?', 1)[0], code: fault?.code ?? 'OK', milliseconds };
    this.lines.info(line, 'request');
  }

  #isDrawn(): boolean {
    return this.sample > 0 && (this.sample === 1 || Math.random() < this.sample);
  }
}
