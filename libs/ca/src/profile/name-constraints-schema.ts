import { z } from 'zod';
import { isFullyQualified, normalizeDnsName } from '../name/dns-name.js';
import { normalizeEmailAddress } from '../name/email-address.js';
import { parseIpRange } from '../name/ip-range.js';

/** A string some parser of ours accepts; its message becomes the fault of this field. */
export const accepted = (parse: (text: string) => unknown) =>
  z.string().superRefine((text, context) => {
    try {
      parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  });

const domain = accepted((text) => normalizeDnsName(text.replace(/^\./, ''))).refine(
  (text) => !text.includes('*'),
  'want a name without *',
);
const subtrees = z.strictObject({
  /** A name and everything below it. */
  dns: z
    .array(accepted(normalizeDnsName).refine((text) => !text.startsWith('*.'), 'want a name without *'))
    .default([]),
  ip: z.array(accepted(parseIpRange)).default([]),
  /** A mailbox; all mailboxes of a host; with a leading dot, those of every host below. */
  email: z.array(z.union([domain, accepted(normalizeEmailAddress)])).default([]),
  /** A fully qualified host; with a leading dot, every host below. */
  uri: z
    .array(domain.refine((text) => isFullyQualified(text.replace(/^\./, '')), 'want a fully qualified name'))
    .default([]),
});

/** Name constraints as they are written (RFC 5280 §4.2.1.10). */
export const nameConstraintsSchema = z
  .strictObject({ permitted: subtrees.prefault({}), excluded: subtrees.prefault({}) })
  .refine(
    (lists) => [lists.permitted, lists.excluded].some((each) => Object.values(each).some(({ length }) => length > 0)),
    'want at least one subtree',
  );
