/** The tokens of a fleet, as an application names them. */
import { z } from 'zod';

/** Fit to be part of a file's name. */
export const memberNamePattern = /^[a-z0-9][a-z0-9._-]{0,31}$/i;
/** Of the path of a Unix socket, on Linux and macOS. */
export const maximumSocketPathBytes = 103;

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

/** SHA-256 of a SubjectPublicKeyInfo. */
export const fingerprintSchema = z.string().regex(/^[0-9a-f]{64}$/, 'want a fingerprint of 64 hexadecimal digits');

/** Nothing that would change how the agent itself runs. */
const variableName = z.string().regex(/^(?!NODE_|UV_)[A-Za-z_][A-Za-z0-9_]*$/);

/** PKCS#11 sessions, hence operations at once on the token. */
const sessions = z.int().min(1).max(256).default(16);

/** A token, and all that an agent needs to log in to it. */
export const tokenAccessSchema = z.strictObject({
  /** Absolute path of the PKCS#11 module (.so). */
  module: z.string().min(1),
  /** Chosen by label or serial, never by slot. */
  token,
  pin,
  sessions,
  /** Variables the PKCS#11 module needs, e.g. SOFTHSM2_CONF. The agent gets these and an allow-list, nothing else. */
  moduleEnvironment: z
    .record(variableName, z.string().regex(/^[^\0]*$/))
    .default({})
    .readonly(),
  vendor: z.enum(['auto', 'softhsm', 'cloudhsm', 'generic']).default('auto'),
});

/** One token of a fleet, whose agent this application spawns. */
export const tokenMemberSchema = z
  .strictObject({
    /** What errors, metrics, logs and its state directory call it; the token's label or serial when absent. */
    name: z.string().optional(),
    ...tokenAccessSchema.shape,
    /** Of the key by which it takes in replicated keys (`Hsm.enrolMembers`), as two people confirmed it. */
    fingerprint: fingerprintSchema.optional(),
  })
  .readonly();

/** One token of a fleet, whose agent several processes of this host share (`nest-hsm agent`). */
export const socketMemberSchema = z
  .strictObject({
    /** What errors, metrics and logs call it. */
    name: z.string(),
    /** Absolute path of the agent's socket for this application's role. */
    socket: z.string().regex(/^\//, 'want an absolute path').max(maximumSocketPathBytes),
    /** Calls that this application has with the agent at once; not more than the agent allows a connection. */
    sessions,
    fingerprint: fingerprintSchema.optional(),
  })
  .readonly();

/** Whichever is meant, so that only its faults are told. */
export const memberSchema = z
  .custom<z.input<typeof tokenMemberSchema> | z.input<typeof socketMemberSchema>>()
  .transform((member, context) => {
    const isSocket = typeof member === 'object' && member !== null && 'socket' in member;
    const parsed = (isSocket ? socketMemberSchema : tokenMemberSchema).safeParse(member);
    if (parsed.success) return parsed.data;
    context.issues.push(...parsed.error.issues.map((issue) => ({ ...issue, input: member }) as never));
    return z.NEVER;
  });

/** A member whose agent the application spawns, as it writes it. */
export type HsmTokenMemberConfig = z.input<typeof tokenMemberSchema>;
/** A member whose agent it shares with other processes, as it writes it. */
export type HsmSocketMemberConfig = z.input<typeof socketMemberSchema>;
/** One member of a fleet. */
export type HsmMemberConfig = HsmTokenMemberConfig | HsmSocketMemberConfig;

/** What a token is called that was given no name. */
export function memberName(
  member: z.output<typeof socketMemberSchema> | { readonly name?: string; readonly token: z.output<typeof token> },
): string {
  if ('socket' in member) return member.name;
  const { name, token: chosen } = member;
  return name ?? ('label' in chosen ? chosen.label : chosen.serial);
}

/** Each its own, and fit to be a file's name. */
export function checkNames(members: readonly z.output<typeof memberSchema>[], context: z.RefinementCtx): void {
  const names = members.map(memberName);
  for (const [index, name] of names.entries()) {
    const fault = !memberNamePattern.test(name)
      ? 'want a name of letters, digits, ".", "_" and "-"'
      : names.indexOf(name) < index
        ? 'want a name of its own for each member'
        : undefined;
    if (fault !== undefined)
      context.addIssue({ code: 'custom', message: `${fault}, got "${name}"`, path: [index, 'name'] });
  }
}
