/**
 * The messages between whoever provisions tokens and the provisioning agent: one request on its stream, one answer, each a
 * line of JSON. The verbs are closed and have nothing in common with those of a token agent: no application, and no client of a
 * shared agent, can say them. PINs travel as names of files and programs only.
 */
import { z } from 'zod';
import { type AuditSettings, auditSettings } from '../audit/audit-settings.js';
import type { HsmErrorCode } from '../errors.js';
import { fits } from '../shape.js';

/** Of a request or an answer, which lists the keys of a token. */
export const maximumLineBytes = 8 << 20;

const text = z.string().min(1).max(4_096);

/** Where a PIN is: a file of its owner alone, or the first line that a program prints. */
const pinSource = z.union([z.strictObject({ file: text }), z.strictObject({ command: z.array(text).min(1) })]);
export type ProvisioningPinSource = z.infer<typeof pinSource>;

/** CK_TOKEN_INFO has 32 bytes for a label and 16 for a serial number. */
const label = z.string().min(1).refine((value) => Buffer.byteLength(value) <= 32, 'want at most 32 bytes'); // prettier-ignore
const tokenSelector = z.union([z.strictObject({ label }), z.strictObject({ serial: text })]);

const common = {
  /** Absolute path of the PKCS#11 module. */
  module: text,
  /** Where refused PINs are on record, and the lock that logins are serialised by. */
  stateDirectory: text,
  /** Where changes are recorded, and who makes them; absent: nowhere. */
  trail: z
    .strictObject({ settings: z.custom<AuditSettings>((value) => fits(auditSettings, value)), client: text })
    .optional(),
};

export const provisioningRequestSchema = z.discriminatedUnion('verb', [
  /** Makes a PIN file (0600) that did not exist: with a random PIN, or with that of another file. */
  z.strictObject({ verb: z.literal('makePinFile'), file: text, from: text.optional() }),
  /** Every token that the module shows. No login. */
  z.strictObject({ verb: z.literal('inspect'), ...common }),
  /** The keys of one token; those that it shows without a login when no PIN is given. */
  z.strictObject({ verb: z.literal('list'), ...common, token: tokenSelector, pin: pinSource.optional() }),
  /** Initialises a token and sets its security officer's PIN. What it held is gone. */
  z.strictObject({
    verb: z.literal('initialise'),
    ...common,
    label,
    securityOfficerPin: pinSource,
    /** Of the uninitialised token, where the module may show several. */
    serial: text.optional(),
    /** The initialised token that is given up; absent: an uninitialised one is taken. */
    replaces: z.strictObject({ label: z.string(), serial: text }).optional(),
  }),
  /** Sets the user's PIN of a token that has none. */
  z.strictObject({
    verb: z.literal('setUserPin'),
    ...common,
    token: tokenSelector,
    securityOfficerPin: pinSource,
    pin: pinSource,
  }),
  /** Sets the user's PIN of a token, whatever it was. */
  z.strictObject({
    verb: z.literal('resetUserPin'),
    ...common,
    token: tokenSelector,
    securityOfficerPin: pinSource,
    /** The file that holds the new PIN. */
    next: text,
    /** The file whose place that one takes when the token has taken its PIN. */
    replacesFile: text.optional(),
  }),
  /** Sets the user's PIN to a random one that nobody keeps. */
  z.strictObject({ verb: z.literal('revokeUser'), ...common, token: tokenSelector, securityOfficerPin: pinSource }),
  /** Changes the PIN of the user or the security officer, or finishes a change that was interrupted. */
  z.strictObject({
    verb: z.literal('changePin'),
    ...common,
    token: tokenSelector,
    who: z.enum(['user', 'security officer']),
    current: pinSource,
    /** The file that holds the new PIN before, during and after the change. */
    next: text,
    /** Whether that file takes the place of the current one when the token has taken its PIN. */
    replacesFile: z.boolean(),
    /** The name that the current file keeps then, where tokens that nobody names here may have its PIN. */
    old: text.optional(),
    /** Whether it is not known which of the two PINs the token has. */
    isInDoubt: z.boolean(),
  }),
]);
export type ProvisioningRequest = z.infer<typeof provisioningRequestSchema>;
export type ProvisioningVerb = ProvisioningRequest['verb'];
export type ProvisioningRequestOf<V extends ProvisioningVerb> = Extract<ProvisioningRequest, { verb: V }>;

const pinState = z.strictObject({
  /** CKF_USER_PIN_COUNT_LOW, …_FINAL_TRY, …_LOCKED, …_TO_BE_CHANGED, or the same of the SO PIN, as far as set. */
  warnings: z.array(z.string()),
  /** When the token refused a PIN that is on record (ISO 8601): this one is not tried again. */
  refusedAt: z.string().optional(),
});

const tokenState = z.strictObject({
  label: z.string(),
  serial: z.string(),
  manufacturer: z.string(),
  model: z.string(),
  isInitialised: z.boolean(),
  hasUserPin: z.boolean(),
  userPin: pinState,
  securityOfficerPin: pinState,
});
/** What a token says of itself to whoever asks, without a login. */
export type TokenState = Readonly<z.infer<typeof tokenState>>;

const tokenContents = z.strictObject({
  /** Algorithms and schemes that it offers and our tables know. */
  mechanisms: z.array(z.string()),
  keys: z.array(z.strictObject({ id: z.string(), label: z.string() })),
});
/** The private and secret keys on a token, of whatever program. */
export type TokenContents = Readonly<z.infer<typeof tokenContents>>;

export const provisioningAnswerSchemas = {
  makePinFile: z.strictObject({ isNew: z.boolean() }),
  inspect: z.strictObject({ tokens: z.array(tokenState) }),
  list: tokenContents,
  initialise: z.strictObject({ serial: z.string() }),
  setUserPin: z.strictObject({}),
  resetUserPin: z.strictObject({}),
  revokeUser: z.strictObject({}),
  changePin: z.strictObject({}),
} as const satisfies Record<ProvisioningVerb, z.ZodType>;
export type ProvisioningAnswer<V extends ProvisioningVerb> = z.infer<(typeof provisioningAnswerSchemas)[V]>;

/** An error of the agent, as it crosses the stream. */
export const provisioningErrorSchema = z.strictObject({
  error: z.strictObject({
    code: z.custom<HsmErrorCode>((value) => typeof value === 'string' && value.startsWith('ERR_HSM_')),
    message: z.string(),
    returnValue: z.string().optional(),
    pkcs11Function: z.string().optional(),
    retryable: z.boolean(),
  }),
});
