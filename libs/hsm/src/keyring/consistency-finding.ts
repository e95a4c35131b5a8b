import type { ObjectReport } from '../agent/protocol.js';
import type { KeyId } from '../key/key.js';
import { formatKeyUri } from '../key/key-uri.js';

export interface KeyName {
  readonly id: KeyId;
  readonly label: string;
}

/** What an audit found, in words, and what to do about it. */
export interface Finding {
  readonly kind:
    | 'unreachable'
    | 'attributes'
    | 'doubled'
    | 'halves'
    | 'differs'
    | 'missing'
    | 'lost'
    | 'unrecorded'
    | 'unfinished'
    | 'destroyed'
    | 'uncompared';
  /** `fault`: something is wrong. `unknown`: it could not be found out. `notice`: it is as it may be. */
  readonly severity: 'fault' | 'unknown' | 'notice';
  readonly members: readonly string[];
  readonly key?: KeyName;
  readonly what: string;
  readonly mend: string;
}

/** Gathers findings: each in one place with its words. */
export class Findings {
  readonly all: Finding[] = [];

  unreachable(member: string, code: string): void {
    const mend = 'bring it back (nest-hsm fleet status says what is wrong), then audit again';
    this.#add('unreachable', 'unknown', [member], undefined, `could not be asked to the end (${code})`, mend);
  }

  attributes(key: KeyName, member: string, kind: ObjectReport['kind'], faults: readonly string[]): void {
    const what = `its ${kind} object is not as its role wants it: ${faults.join('; ')}`;
    const mend = `it is refused: make a new one (nest-hsm key rotate ${key.label}), then nest-hsm key destroy ${uri(key)}`;
    this.#add('attributes', 'fault', [member], key, what, mend);
  }

  doubled(key: KeyName, member: string, count: number): void {
    this.#add('doubled', 'fault', [member], key, `${count} objects carry its id, want one key`, onMember(key));
  }

  halves(key: KeyName, member: string, what: string): void {
    this.#add('halves', 'fault', [member], key, what, onMember(key));
  }

  differs(key: KeyName, one: string, other: string, what: string): void {
    const mend = `find out which is right; ${onMember(key)}`;
    this.#add('differs', 'fault', [one, other], key, `another ${what} on ${other} than on ${one}`, mend);
  }

  missing(key: KeyName, members: readonly string[], isBelowQuorum: boolean, isWrapped: boolean): void {
    const what = `not there${isBelowQuorum ? ', and on fewer members than the quorum' : ''}`;
    const mend = isWrapped
      ? 'nest-hsm fleet resync gives it to them, with the recovery token'
      : "have the vendor's tool synchronise the devices: they should have copied it";
    this.#add('missing', isBelowQuorum || !isWrapped ? 'fault' : 'notice', members, key, what, mend);
  }

  /** Members that the keyring says have it. */
  lost(key: KeyName, members: readonly string[], isElsewhere: boolean, isRecoverable: boolean): void {
    const what = `the keyring says that it is there, and it is not${isElsewhere ? '' : ', nor on any other member that was asked'}`;
    const mend = isRecoverable
      ? 'nest-hsm fleet resync gives it back, with the recovery token'
      : 'it was left to no recovery key: nest-hsm backup restore, if a backup has it';
    this.#add('lost', 'fault', members, key, what, mend);
  }

  unrecorded(key: KeyName, members: readonly string[]): void {
    const mend = `nobody can give it to another member: make a new one (nest-hsm key rotate ${key.label}), then nest-hsm key destroy ${uri(key)}`;
    this.#add('unrecorded', 'fault', members, key, 'it is there, and the keyring knows nothing of it', mend);
  }

  unfinished(key: KeyName, state: string): void {
    const mend =
      'it is finished, or undone, at the next start of an application when the members of its record can be reached';
    this.#add('unfinished', 'fault', [], key, `the keyring has it as ${state}`, mend);
  }

  destroyed(key: KeyName, members: readonly string[]): void {
    const mend = 'a running application does so; or nest-hsm receipt list, which waits for nothing, and audit again';
    this.#add('destroyed', 'fault', members, key, 'its destruction has begun, and it is still there', mend);
  }

  otherKey(key: KeyName, one: string, other: string): void {
    this.differs(key, one, other, 'key (by its check value)');
  }

  uncompared(key: KeyName, members: readonly string[], why: string): void {
    const mend = 'nothing, unless there is a doubt; then make a new one';
    this.#add('uncompared', 'notice', members, key, `cannot be shown to be one key everywhere: ${why}`, mend);
  }

  #add(
    kind: Finding['kind'],
    severity: Finding['severity'],
    members: readonly string[],
    key: KeyName | undefined,
    what: string,
    mend: string,
  ): void {
    this.all.push({ kind, severity, members, key: key && { id: key.id, label: key.label }, what, mend });
  }
}

/** One member's objects, which no command of ours removes: it would take the key from the others too. */
function onMember({ id }: KeyName): string {
  return `remove what is wrong on that member with its own tool (pkcs11-tool --login --delete-object --type … --id ${id}), then have it given the key again (nest-hsm fleet resync; vendor mode: the device's own synchronisation)`;
}

function uri({ id, label }: KeyName): string {
  return `'${formatKeyUri({ object: label, id })}'`;
}
