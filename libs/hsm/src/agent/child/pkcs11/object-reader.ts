import { HsmError } from '../../../errors.js';
import { ck, type Native, type ObjectHandle, ReturnValueError, type SessionHandle } from './native.js';

/** The names of the attributes, `CKA_…`. */
export type AttributeName = Extract<keyof typeof ck, `CKA_${string}`>;

/** Attributes of one object by name; what the object does not have, or will not show, is undefined. */
export class ObjectReader {
  readonly #values = new Map<AttributeName, Buffer | undefined>();

  constructor(
    private readonly native: Native,
    private readonly session: SessionHandle,
    private readonly handle: ObjectHandle,
  ) {}

  /** Reads many at once, one round trip to the token where it has them all. */
  prefetch(names: readonly AttributeName[]): void {
    const values = this.#readAll(names);
    names.forEach((name, index) => {
      if (values) this.#values.set(name, values[index]);
      else this.#values.set(name, this.#readAll([name])?.[0]);
    });
  }

  read(name: AttributeName): Buffer | undefined {
    if (!this.#values.has(name)) this.prefetch([name]);
    return this.#values.get(name);
  }

  /** @throws {HsmError} ERR_HSM_KEY_UNSAFE when the object does not have it */
  bytes(name: AttributeName): Buffer {
    const value = this.read(name);
    if (!value) throw new HsmError('ERR_HSM_KEY_UNSAFE', `${name}: want a value, got none`);
    return value;
  }

  text(name: AttributeName): string {
    return this.read(name)?.toString('utf8') ?? '';
  }

  /** Absent is false: a token that does not know a usage does not grant it. */
  boolean(name: AttributeName): boolean {
    return this.read(name)?.[0] === 1;
  }

  /** A CK_ULONG. */
  number(name: AttributeName): number | undefined {
    const value = this.read(name);
    return value?.length === 8 ? Number(value.readBigUInt64LE()) : undefined;
  }

  #readAll(names: readonly AttributeName[]): Buffer[] | undefined {
    try {
      return this.native.attributes(
        this.session,
        this.handle,
        names.map((name) => ck[name]),
      );
    } catch (error) {
      const isAbsent = error instanceof ReturnValueError && absent.includes(error.returnValue);
      if (isAbsent) return undefined;
      throw error;
    }
  }
}

const absent: readonly number[] = [ck.CKR_ATTRIBUTE_TYPE_INVALID, ck.CKR_ATTRIBUTE_SENSITIVE];
