import { Agent, request } from 'node:http';

/** Asks the CA for certificates over kept connections, with as little work of its own as it can: it shares the machine with the CA. */
export class IssuingClient {
  readonly #agent = new Agent({ keepAlive: true });

  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  /** One certificate. */
  async issue(csr: Buffer): Promise<void> {
    const answer = await this.#post('/v1/certificates?profile=tls-server', 'application/pkcs10', csr);
    if (!answer.includes('BEGIN CERTIFICATE'))
      throw new Error(`bench: want a certificate, got ${answer.slice(0, 200)}`);
  }

  /** @param body  JSON of a batch of so many requests */
  async issueBatch(body: Buffer, requests: number): Promise<void> {
    const answer = await this.#post('/v1/certificates/batch', 'application/json', body);
    const issued = answer.split('BEGIN CERTIFICATE').length - 2;
    if (issued !== requests)
      throw new Error(`bench: want ${requests} certificates, got ${issued}: ${answer.slice(0, 200)}`);
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(path: string, type: string, body: Buffer): Promise<string> {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': type, 'content-length': body.length };
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method: 'POST', agent: this.#agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}
