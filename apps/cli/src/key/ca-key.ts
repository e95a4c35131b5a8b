import { z } from 'zod';
import { readSections } from '../config.js';

const application = z.looseObject({ authority: z.unknown().optional() });

/**
 * What is to be done instead of rotating a key of the CA that a file configures: a CA is its key and has one of a label, so with a
 * second version it would not start again.
 * @returns for a label, in words; undefined for a key that is none of a CA's
 * @throws {CliError} ERR_CLI_CONFIG
 */
export async function insteadOfRotation(file: string): Promise<(label: string) => string | undefined> {
  if ((await readSections(file, application)).authority === undefined) return () => undefined;
  // It brings a database along and takes as long to load as everything else: only here is it wanted.
  const { isCaKeyLabel, issuerLabelOf, parseCaConfig } = await import('@nest-hsm/ca');
  const { readCaFile } = await import('../ca/config.js');
  const { authority } = parseCaConfig((await readCaFile(file)).ca);
  return (label) => {
    const issuer = issuerLabelOf(label);
    if (!isCaKeyLabel(authority, issuer)) return undefined;
    if (issuer !== label)
      return 'revoke the certificate of the OCSP responder (nest-hsm ca revoke), which then makes itself another key';
    return 'a CA gets another key with another certificate: nest-hsm ca rollover for one that issues, docs/HIERARCHY.md for those above';
  };
}
