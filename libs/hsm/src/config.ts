import { z } from 'zod';
import { HsmError } from './errors.js';
import { policyOperations } from './agent/protocol.js';

const pin = z.union(
  [
    /** A file only its owner may read (mode 0600 or 0400), read by the agent itself. */
    z.strictObject({ file: z.string().min(1) }).readonly(),
    /** A program and its arguments; its first output line is the PIN. Run by the agent itself. */
    z.strictObject({ command: z.array(z.string().min(1)).min(1).readonly() }).readonly(),
    /** The name of an environment variable. Weaker: it stays readable in /proc/self/environ. */
    z.strictObject({ environment: z.string().min(1) }).readonly(),
    /** A function of the application. Weaker: the PIN passes through the application's memory. */
    z
      .strictObject({ callback: z.custom<() => string | Promise<string>>((value) => typeof value === 'function') })
      .readonly(),
  ],
  'want one of { file }, { command }, { environment }, { callback }',
);

const token = z.union(
  [
    z.strictObject({ label: z.string().min(1).max(32) }).readonly(),
    z.strictObject({ serial: z.string().min(1).max(16) }).readonly(),
  ],
  'want { label } of at most 32 characters or { serial } of at most 16',
);

const policyRule = z
  .strictObject({
    /** Exact key label, or a prefix ending in `*`. */
    label: z.string().min(1),
    operations: z.array(z.enum(policyOperations)).min(1).readonly(),
    /** Signature schemes or wrapping algorithms; any when absent. */
    mechanisms: z.array(z.string()).readonly().optional(),
  })
  .readonly();

/** Nothing that would change how the agent itself runs. */
const variableName = z.string().regex(/^(?!NODE_|UV_)[A-Za-z_][A-Za-z0-9_]*$/);

export const hsmConfigSchema = z.strictObject({
  /** The role of this token, and the name of its metrics, health indicator and provider, e.g. `ca`. */
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  /** Absolute path of the PKCS#11 module (.so). */
  module: z.string().min(1),
  /** Chosen by label or serial, never by slot. */
  token,
  pin,
  /** PKCS#11 sessions, hence operations at once on the token. */
  sessions: z.int().min(1).max(256).default(16),
  /** Variables the PKCS#11 module needs, e.g. SOFTHSM2_CONF. The agent gets these and an allow-list, nothing else. */
  moduleEnvironment: z
    .record(variableName, z.string().regex(/^[^\0]*$/))
    .default({})
    .readonly(),
  vendor: z.enum(['auto', 'softhsm', 'cloudhsm', 'generic']).default('auto'),
  /** Directory (made 0700) for what must outlive a process: the record of a refused PIN. */
  stateDirectory: z.string().min(1),
  /** Append-only audit lines, one JSON object each, written by the agent. */
  auditFile: z.string().min(1).optional(),
  /** Identity of this application towards the agent, in audit lines and policy. */
  client: z.string().min(1).max(64).default('application'),
  /** Narrows what this application may do with its own token. */
  policy: z.array(policyRule).readonly().optional(),
  /** How long a caller waits when it names no deadline. */
  deadlineMilliseconds: z.int().min(1).default(5_000),
  /** How long one operation may stay on the token before the agent is taken for hung and killed. */
  hangMilliseconds: z.int().min(50).default(2_000),
  /** The same for key generation, which is slow by nature (RSA-4096 takes seconds). */
  generateHangMilliseconds: z.int().min(50).default(60_000),
  /** How long an agent may take to load the module, log in and be ready. */
  startMilliseconds: z.int().min(50).default(10_000),
  /** Calls waiting for a session beyond which a call is refused with ERR_HSM_OVERLOADED. */
  queueLimit: z.int().min(1).default(1_024),
});

/** What an application writes. */
export type HsmConfig = z.input<typeof hsmConfigSchema>;
/** What the provider works with: parsed once, complete, frozen. */
export type ParsedHsmConfig = Readonly<z.output<typeof hsmConfigSchema>>;

/**
 * Parses a configuration once, at boot.
 * @throws {HsmError} ERR_HSM_CONFIG_INVALID listing all faults together
 */
export function parseHsmConfig(config: HsmConfig): ParsedHsmConfig {
  const parsed = hsmConfigSchema.safeParse(config);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new HsmError('ERR_HSM_CONFIG_INVALID', `HSM configuration:\n${z.prettifyError(parsed.error)}`);
}
