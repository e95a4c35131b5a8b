import { scopes } from '@nest-hsm/ca';
import { z } from 'zod';

const clientName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'want 1 to 64 of a-z, 0-9, ".", "_" and "-"');

/** What a credential lets its holder do. */
export const grantShape = {
  scopes: z.array(z.enum(scopes)).min(1),
  /** Profiles it may ask for; absent: any. */
  profiles: z.array(z.string().min(1).max(64)).min(1).optional(),
};

const client = z
  .strictObject({
    /** The requester is `client:NAME`. */
    name: clientName,
    /** A file with its bearer token; made (0600, 256 random bits) when it is missing. */
    tokenFile: z.string().min(1).optional(),
    ...grantShape,
  })
  .refine(({ tokenFile }) => tokenFile !== undefined, 'want a tokenFile');
export type ClientConfig = Readonly<z.output<typeof client>>;

/** Who may use the API besides the holders of API tokens. */
export const accessConfigSchema = z.strictObject({
  clients: z
    .array(client)
    .max(1_000)
    .refine((clients) => new Set(clients.map(({ name }) => name)).size === clients.length, 'want each name once')
    .default([]),
});
