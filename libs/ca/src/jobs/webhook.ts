import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { CaError } from '../errors.js';

const loopbackHosts = ['127.0.0.1', '[::1]', 'localhost'];

export const webhookConfigSchema = z.strictObject({
  /** Where notices go: fixed here, and no redirect is followed. https, or http on this host. */
  url: z
    .url({ protocol: /^https?$/, abort: true })
    .max(2_048)
    .refine((text) => {
      const { protocol, hostname, username, password } = new URL(text);
      return (protocol === 'https:' || loopbackHosts.includes(hostname)) && username === '' && password === '';
    }, 'want https without user and password; http on this host alone'),
  /** A file with the key that notices are signed with: at least 24 octets, as `whsec_` and base64. */
  secretFile: z.string().min(1),
  timeoutSeconds: z.int().min(1).max(60).default(10),
});
export type WebhookConfig = z.output<typeof webhookConfigSchema>;

/** Waits before the second and the third attempt; after that the next run of the job tries again. */
const pausesMilliseconds = [500, 2_000];
const minimumSecretBytes = 24;

/** Sends notices to one place, signed as standardwebhooks.com says: `webhook-id`, `webhook-timestamp`, `webhook-signature`. */
export class Webhook {
  private constructor(
    private readonly config: WebhookConfig,
    private readonly secret: Buffer,
  ) {}

  /** @throws {CaError} ERR_CA_CONFIG_INVALID when the secret cannot be read or is too short */
  static of(config: WebhookConfig): Webhook {
    let text: string;
    try {
      text = readFileSync(config.secretFile, 'utf8').trim();
    } catch (error) {
      throw new CaError(
        'ERR_CA_CONFIG_INVALID',
        `expiry.webhook.secretFile: want a readable file, got ${(error as Error).message}`,
      );
    }
    const secret = Buffer.from(text.replace(/^whsec_/, ''), 'base64');
    if (!text.startsWith('whsec_') || secret.length < minimumSecretBytes)
      throw new CaError(
        'ERR_CA_CONFIG_INVALID',
        `expiry.webhook.secretFile: want whsec_ and base64 of at least ${minimumSecretBytes} octets`,
      );
    return new Webhook(config, secret);
  }

  /**
   * Delivers once at least: an answer of 2xx ends it, anything else is tried three times.
   * @param id  the same for a notice that is sent again
   * @throws {CaError} ERR_CA_WEBHOOK_FAILED
   */
  async deliver(id: string, content: object): Promise<void> {
    const body = JSON.stringify(content);
    for (let attempt = 0; ; attempt += 1) {
      const fault = await this.#attempt(id, body);
      if (fault === undefined) return;
      if (attempt >= pausesMilliseconds.length)
        throw new CaError('ERR_CA_WEBHOOK_FAILED', `webhook ${id}: want an answer of 2xx, got ${fault}`);
      await delay(pausesMilliseconds[attempt]);
    }
  }

  /** @returns what was wrong */
  async #attempt(id: string, body: string): Promise<string | undefined> {
    const timestamp = String(Math.floor(Date.now() / 1000));
    const mac = createHmac('sha256', this.secret).update(`${id}.${timestamp}.${body}`).digest('base64');
    try {
      const response = await fetch(this.config.url, {
        method: 'POST',
        redirect: 'error',
        signal: AbortSignal.timeout(this.config.timeoutSeconds * 1000),
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${mac}`,
        },
        body,
      });
      await response.body?.cancel();
      return response.ok ? undefined : `status ${response.status}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}
