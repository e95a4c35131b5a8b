import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { transportAlgorithmNames } from './algorithm/wrapping-algorithm.js';
import { auditConfigSchema } from './audit/audit-config.js';
import { HsmError } from './errors.js';
import { policyOperations } from './agent/protocol.js';
import {
  checkNames,
  fingerprintSchema,
  memberName,
  memberSchema,
  type socketMemberSchema,
  type tokenMemberSchema,
} from './member-config.js';

export const policyRuleSchema = z
  .strictObject({
    /** Exact key label, or its beginning and then `*`, or `*` and then its end. */
    label: z.string().min(1),
    operations: z.array(z.enum(policyOperations)).min(1).readonly(),
    /** Signature schemes or wrapping algorithms; any when absent. */
    mechanisms: z.array(z.string()).readonly().optional(),
    /** Whom a key may be exported to: fingerprints (SHA-256 of the SubjectPublicKeyInfo); anybody when absent. */
    recipients: z.array(fingerprintSchema).readonly().optional(),
  })
  .readonly();

/** A key that only a recovery token can use: what is replicated is left to it too. */
const recoveryKey = z
  .strictObject({
    /** PEM of an RSA public key of 2048 bits or more. */
    publicKey: z.string().refine(isRsaPublicKey, 'want the PEM of an RSA public key'),
    /** The hash that the recovery token offers for OAEP. SoftHSM has SHA-1 only, which does not weaken OAEP. */
    algorithm: z.enum(transportAlgorithmNames).default('rsa-oaep-sha1'),
  })
  .readonly();

const replication = z.discriminatedUnion('mode', [
  /** The devices copy keys themselves (CloudHSM, Luna HA); it is verified that they did. */
  z.strictObject({ mode: z.literal('vendor') }).readonly(),
  /** Keys go to each member wrapped for it alone. */
  z
    .strictObject({
      mode: z.literal('wrapped'),
      /** Directory (made 0700) for what is known of each key, and its forms for the recovery keys. */
      keyring: z.string().min(1),
      recoveryKeys: z.array(recoveryKey).max(8).default([]).readonly(),
    })
    .readonly(),
]);

/** How old the newest version of a key may get before it is due to have a successor. */
const rotationRule = z
  .strictObject({
    /** Exact key label, or its beginning and then `*`, or `*` and then its end. The first rule that matches counts. */
    label: z.string().min(1),
    maximumAgeDays: z.int().min(1).max(36_500),
  })
  .readonly();
export type RotationRule = z.output<typeof rotationRule>;

export const stateDirectory = z.string().min(1);

export const hsmConfigSchema = z
  .strictObject({
    /** The role of this fleet, and the name of its metrics, health indicator and provider, e.g. `ca`. */
    name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
    /** The tokens behind it: each holds every key, and any of them may serve a call. */
    members: z.array(memberSchema).min(1).max(32).superRefine(checkNames).readonly(),
    /** On how many members a key must be before it may be used; 2 when absent, or 1 where there is one. */
    quorum: z.int().min(1).max(32).optional(),
    /** How a new key comes onto the other members. */
    replication: replication.prefault({ mode: 'vendor' }),
    /** When keys are due for their next version: see `Hsm.rotateKey`. */
    rotation: z.array(rotationRule).default([]).readonly(),
    /**
     * Directory (made 0700) for what must outlive a process: the records of refused PINs, and of keys that were destroyed. May be
     * absent where all members are sockets; keys are then neither destroyed nor rotated by this application.
     */
    stateDirectory: stateDirectory.optional(),
    /** Identity of this application towards the agents, in audit lines and policy. */
    client: z.string().min(1).max(64).default('application'),
    /** The trail that the members' agents write; none when absent. That of a shared agent is in its own configuration. */
    audit: auditConfigSchema.optional(),
    /** Narrows what this application may do with its own tokens. */
    policy: z.array(policyRuleSchema).readonly().optional(),
    /** How long a caller waits when it names no deadline. */
    deadlineMilliseconds: z.int().min(1).default(5_000),
    /** How long one operation may stay on a token before the agent is taken for hung and killed. */
    hangMilliseconds: z.int().min(50).default(2_000),
    /** The same for key generation, which is slow by nature (RSA-4096 takes seconds). */
    generateHangMilliseconds: z.int().min(50).default(60_000),
    /** How long an agent may take to load the module, log in and be ready. */
    startMilliseconds: z.int().min(50).default(10_000),
    /**
     * Calls of one class of traffic (docs/FLEET.md) waiting for a session beyond which a call is refused with ERR_HSM_OVERLOADED. The
     * calls of one key may take as many of these places as they leave free.
     */
    queueLimit: z.int().min(1).default(2_048),
  })
  .superRefine(checkPolicy)
  .superRefine(checkStateDirectory);

/** What an application writes. */
export type HsmConfig = z.input<typeof hsmConfigSchema>;
/** What the provider works with: parsed once, complete, frozen. */
export type ParsedHsmConfig = Readonly<z.output<typeof hsmConfigSchema>>;
/** What one member works with: its own settings and those it shares with the others. */
export type MemberConfig = TokenMemberConfig | SocketMemberConfig;
export type TokenMemberConfig = Completed<z.output<typeof tokenMemberSchema>> & { readonly stateDirectory: string };
export type SocketMemberConfig = Completed<z.output<typeof socketMemberSchema>>;
type Completed<Member> = Readonly<
  Omit<Member, 'name'> & { name: string } & Omit<
      ParsedHsmConfig,
      'name' | 'members' | 'quorum' | 'replication' | 'rotation' | 'queueLimit' | 'stateDirectory'
    >
>;

/**
 * Parses a configuration once, at boot.
 * @throws {HsmError} ERR_HSM_CONFIG_INVALID listing all faults together
 */
export function parseHsmConfig(config: HsmConfig): ParsedHsmConfig {
  const parsed = hsmConfigSchema.safeParse(config);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new HsmError('ERR_HSM_CONFIG_INVALID', `HSM configuration:\n${z.prettifyError(parsed.error)}`);
}

/** @returns a configuration for each member, with a state directory of its own for each token */
export function memberConfigs(config: ParsedHsmConfig): MemberConfig[] {
  const { name: _, members, quorum: __, replication: ___, rotation: ____, queueLimit: _____, ...rest } = config;
  const { stateDirectory: ______, ...shared } = rest;
  const audit = shared.audit && { ...shared.audit, issuerKeys: issuerKeyPatterns(config) };
  return members.map((member) => {
    const name = memberName(member);
    const completed = { ...shared, ...member, audit, name };
    if ('socket' in completed) return Object.freeze(completed);
    return Object.freeze({ ...completed, stateDirectory: join(requireStateDirectory(config), name) });
  });
}

/** @throws {HsmError} ERR_HSM_CONFIG_INVALID when there is none, as may be where all members are sockets */
export function requireStateDirectory(config: ParsedHsmConfig): string {
  if (config.stateDirectory !== undefined) return config.stateDirectory;
  throw noStateDirectory(config);
}

export function noStateDirectory({ name }: ParsedHsmConfig): HsmError {
  const message = `${name}: want stateDirectory, for what must outlive this process, got none`;
  return new HsmError('ERR_HSM_CONFIG_INVALID', message);
}

/**
 * The labels, as `isListed` takes them, of keys each of whose signatures is an act of its own. In the fleet of a CA whatever is
 * not known to be something else signs certificates.
 */
export function issuerKeyPatterns({ name, audit }: Pick<ParsedHsmConfig, 'name' | 'audit'>): readonly string[] {
  return audit?.issuerKeys ?? (name === 'ca' ? ['*'] : []);
}

function isRsaPublicKey(pem: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey(pem);
    // A private key would be taken for its public half.
    return (
      !pem.includes('PRIVATE') && asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048
    );
  } catch {
    return false;
  }
}

/** What would not be enforced is not accepted. */
function checkPolicy(
  { members, policy }: { members: readonly z.output<typeof memberSchema>[]; policy?: unknown },
  context: z.RefinementCtx,
): void {
  if (policy === undefined || !members.some((member) => 'socket' in member)) return;
  const message = 'want the policy for a shared agent in the configuration of that agent';
  context.addIssue({ code: 'custom', message, path: ['policy'] });
}

/** Where tokens are logged in to, a PIN that was refused is written down. */
function checkStateDirectory(
  { members, stateDirectory: path }: { members: readonly z.output<typeof memberSchema>[]; stateDirectory?: string },
  context: z.RefinementCtx,
): void {
  if (path !== undefined || members.every((member) => 'socket' in member)) return;
  const message = 'want a directory, without which only members behind sockets can be used, got none';
  context.addIssue({ code: 'custom', message, path: ['stateDirectory'] });
}
