import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { hsmConfigSchema, policyRuleSchema, stateDirectory } from '../config.js';
import { HsmError } from '../errors.js';
import { maximumSocketPathBytes, memberNamePattern, tokenAccessSchema } from '../member-config.js';

const socketName = 'agent.sock';

const roleSchema = z
  .strictObject({
    /** The client in audit lines. */
    name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
    /**
     * Of this role alone; made when it is not there. Whoever may enter it is the role: there is no other check, since Node cannot
     * ask a socket who connected.
     */
    directory: z
      .string()
      .refine(isAbsolute, 'want an absolute path')
      .refine(
        (path) => Buffer.byteLength(join(path, socketName)) <= maximumSocketPathBytes,
        `want it with /${socketName} to have at most ${maximumSocketPathBytes} bytes`,
      ),
    /** The group whose members may connect. The directory stays the agent's, so that none of them can put a socket of its own there. */
    gid: z.int().min(0).optional(),
    /** The user who may connect, when it is not the agent's own. Giving it the directory takes root. */
    uid: z.int().min(0).optional(),
    /** All that this role may do. */
    policy: z.array(policyRuleSchema).min(1).superRefine(checkRecipients).readonly(),
    /** Processes of this role at once. */
    connections: z.int().min(1).max(1024).default(16),
    /** Calls of each of them that may be with the agent at once. */
    callsInFlight: z.int().min(1).max(1024).default(64),
  })
  .readonly();

const { audit, hangMilliseconds, generateHangMilliseconds, startMilliseconds } = hsmConfigSchema.shape;

export const sharedAgentConfigSchema = z.strictObject({
  ...tokenAccessSchema.shape,
  /** What its audit trail calls it; the token's label or serial when absent. */
  name: z.string().regex(memberNamePattern).optional(),
  /** The trail that it writes of all its clients. */
  audit,
  stateDirectory,
  hangMilliseconds,
  generateHangMilliseconds,
  startMilliseconds,
  /** Who may use the token, and for what. */
  roles: z.array(roleSchema).min(1).max(32).superRefine(checkDistinct).readonly(),
});

/** What its operator writes. */
export type SharedAgentConfig = z.input<typeof sharedAgentConfigSchema>;
export type ParsedSharedAgentConfig = Readonly<z.output<typeof sharedAgentConfigSchema>>;
export type RoleConfig = z.output<typeof roleSchema>;

/** @throws {HsmError} ERR_HSM_CONFIG_INVALID listing all faults together */
export function parseSharedAgentConfig(config: SharedAgentConfig): ParsedSharedAgentConfig {
  const parsed = sharedAgentConfigSchema.safeParse(config);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new HsmError('ERR_HSM_CONFIG_INVALID', `shared agent:\n${z.prettifyError(parsed.error)}`);
}

/** Where clients of that role connect. */
export function socketPath({ directory }: RoleConfig): string {
  return join(directory, socketName);
}

/** An extractable key that may go to anybody is as good as in the open. */
function checkRecipients(policy: readonly z.output<typeof policyRuleSchema>[], context: z.RefinementCtx): void {
  for (const [index, { operations, recipients }] of policy.entries()) {
    if (!operations.includes('export') || recipients !== undefined) continue;
    context.addIssue({ code: 'custom', message: 'want the recipients that a key may be exported to', path: [index] });
  }
}

function checkDistinct(roles: readonly RoleConfig[], context: z.RefinementCtx): void {
  for (const field of ['name', 'directory'] as const) {
    const values = roles.map((role) => role[field]);
    for (const [index, value] of values.entries()) {
      if (values.indexOf(value) === index) continue;
      const message = `want a ${field} of its own for each role, got ${value} again`;
      context.addIssue({ code: 'custom', message, path: [index, field] });
    }
  }
}
