import { CaError } from '../errors.js';
import type { GenerationRecord } from '../store/authority-store.js';
import { caKeyId, findOrGenerateCaKey } from './ca-key.js';
import { configuredCa, ofGeneration } from './configured-ca.js';
import { certify, type HierarchyContext } from './hierarchy.js';

/**
 * Makes the next generation of an issuer: its key, its certificate, and the row that says from when on it signs. What it costs does not
 * depend on how many certificates there are: none of their rows is touched. Made again after a crash, it goes on with what is there,
 * as long as its row is not.
 * @param name  of the issuer in the configuration
 * @param activeFrom  late enough for every replica to have published its CRL
 * @throws {CaError} ERR_CA_CONFIG_INVALID | ERR_CA_ROLLOVER_REFUSED | ERR_CA_NOT_INITIALIZED: the certificate is to come from an
 * external root
 */
export async function rollOver(context: HierarchyContext, name: string, activeFrom: Date): Promise<GenerationRecord> {
  const { config, token, certificates, authorities, observer, now } = context;
  const ca = configuredCa(config.authority, name);
  if (ca.kind !== 'issuing') return refuse(`want an issuing CA, got ${name}`);
  return certificates.exclusively(async () => {
    const generations = (await authorities.listGenerations()).filter((each) => each.name === name);
    const pending = generations.find((each) => each.activeFrom > now());
    if (pending !== undefined)
      return refuse(
        `want none under way, got generation ${pending.generation} from ${pending.activeFrom.toISOString()}`,
      );
    if (activeFrom < now()) return refuse(`want a time that has not passed, got ${activeFrom.toISOString()}`);
    const generation = (generations.at(-1)?.generation ?? 1) + 1;
    const next = ofGeneration(ca, generation);
    const key = await findOrGenerateCaKey(token, next, observer);
    await certify(context, next, key);
    const record = { name, generation, issuerId: caKeyId(key), activeFrom };
    await authorities.addGeneration(record);
    return record;
  });
}

function refuse(message: string): never {
  throw new CaError('ERR_CA_ROLLOVER_REFUSED', `rollover: ${message}`);
}
