/**
 * The token that opens what replication left for backup and for later members (SECURITY.md, Replication, step 3). It has a PIN
 * of its own that no application knows, is present only during a ceremony, and is the only place where a sealed key is ever
 * opened: as session objects, which are wrapped for pinned members and destroyed before the answer.
 */
import { createPublicKey, randomBytes } from 'node:crypto';
import type { KeyTransfer, Recipient, TokenDescription } from '../../agent/protocol.js';
import { fingerprint } from '../../algorithm/encoding-public-key.js';
import type { TransportAlgorithm } from '../../algorithm/wrapping-algorithm.js';
import { type HsmConfig, type ParsedHsmConfig, parseHsmConfig } from '../../config.js';
import { HsmError } from '../../errors.js';
import { Fleet } from '../../fleet/fleet.js';
import { type KeyDescription, type KeyId, recoveryKeyLabel } from '../../key/key.js';
import { transportAlgorithm } from '../enrolment.js';
import { fleetMembers } from '../fleet-members.js';
import type { KeyringRecord, RecoveryForm } from '../keyring-record.js';
import type { ReplicationMember } from '../replication-member.js';

const roleName = 'recovery';

/** What goes into `replication.recoveryKeys` of the fleets that leave their keys to it. */
export interface RecoveryPublicKey {
  /** PEM of an RSA-3072 SubjectPublicKeyInfo. */
  readonly publicKey: string;
  readonly algorithm: TransportAlgorithm;
  /** SHA-256 of the DER SubjectPublicKeyInfo, 64 hexadecimal digits. */
  readonly fingerprint: string;
}

export class RecoveryToken {
  /**
   * Logs in to the recovery token.
   * @param config  of one member, named `recovery`: so that no token of an application is taken for one by mistake
   * @throws {HsmError} ERR_HSM_CONFIG_INVALID, and why the token cannot be reached
   */
  static async open(config: HsmConfig): Promise<RecoveryToken> {
    const parsed = parseHsmConfig(config);
    requireRecoveryRole(parsed);
    const fleet = await Fleet.start(parsed);
    const [member] = fleetMembers(fleet);
    const { trouble } = fleet.members[0];
    if (member.isReachable) return new RecoveryToken(fleet, member);
    await fleet.close();
    throw trouble ?? new HsmError('ERR_HSM_UNAVAILABLE', 'recovery token: want it present', { retryable: true });
  }

  private constructor(
    private readonly fleet: Fleet,
    private readonly member: ReplicationMember,
  ) {}

  get token(): TokenDescription | undefined {
    return this.member.token;
  }

  get isReachable(): boolean {
    return this.member.isReachable;
  }

  /** Makes the recovery key, or finds the one that is there. It never leaves the token. */
  async makeKey(): Promise<RecoveryPublicKey> {
    const { spki } = (await this.#find()) ?? (await this.#make());
    return this.#described(spki as Buffer);
  }

  /** @throws {HsmError} ERR_HSM_RECOVERY_REFUSED when it has none */
  async publicKey(): Promise<RecoveryPublicKey> {
    return this.#described((await this.#key()).spki as Buffer);
  }

  /**
   * Opens a key's recovery form and wraps the key anew, for others whose keys were pinned.
   * @returns in the order of the recipients
   * @throws {HsmError} ERR_HSM_RECOVERY_REFUSED | ERR_HSM_DECRYPTION_FAILED
   */
  async transfer(
    { id, label, algorithm, usage }: Pick<KeyringRecord, 'id' | 'label' | 'algorithm' | 'usage'>,
    form: RecoveryForm,
    recipients: readonly Recipient[],
  ): Promise<readonly KeyTransfer[]> {
    const { id: unwrappingKeyId } = await this.#key();
    const answer = await this.member.call(
      'transferKey',
      {
        ...{ unwrappingKeyId, algorithm: form.algorithm, recipients },
        key: { id, label, algorithm, usage, extractable: false },
        transport: Buffer.from(form.transport.bytes, 'base64'),
        wrapped: Buffer.from(form.wrapped.bytes, 'base64'),
      },
      { correlationId: id },
    );
    return answer.transfers;
  }

  close(): Promise<void> {
    return this.fleet.close();
  }

  async #key(): Promise<KeyDescription> {
    const key = await this.#find();
    if (key !== undefined) return key;
    const message = `recovery token "${this.member.token?.label}": want a key labelled "${recoveryKeyLabel}", got none`;
    throw new HsmError('ERR_HSM_RECOVERY_REFUSED', message);
  }

  async #find(): Promise<KeyDescription | undefined> {
    const found = await this.member.call('findKeys', { label: recoveryKeyLabel, usage: 'unwrap' }, {});
    if (found.length <= 1) return found[0];
    const message = `recovery token: want one key labelled "${recoveryKeyLabel}", got ${found.length}`;
    throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', message);
  }

  #make(): Promise<KeyDescription> {
    const id = randomBytes(16).toString('hex') as KeyId;
    const terms = { label: recoveryKeyLabel, algorithm: 'rsa-3072', usage: 'unwrap', extractable: false } as const;
    return this.member.call('generateKey', { ...terms, id }, {});
  }

  #described(spki: Buffer): RecoveryPublicKey {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const publicKey = key.export({ format: 'pem', type: 'spki' }).toString();
    return { publicKey, algorithm: transportAlgorithm(this.member, this.member), fingerprint: fingerprint(spki) };
  }
}

function requireRecoveryRole({ name, members, replication }: ParsedHsmConfig): void {
  const isAlone = members.length === 1 && replication.mode === 'vendor';
  if (name === roleName && isAlone) return;
  const message = `recovery token: want a configuration named "${roleName}" of one member that is replicated to none, got "${name}" of ${members.length}`;
  throw new HsmError('ERR_HSM_CONFIG_INVALID', message);
}
