import { AsyncLocalStorage } from 'node:async_hooks';
import { DataEncryptionError } from './errors.js';
import { parseTenant, type Tenant, tenantMismatch } from './tenant.js';

/**
 * The tenant that the work under way is for. `tenant: () => tenants.current` gives it to the encryption of a data source.
 *
 * In a Nest application a middleware opens a context for each request and a guard, which knows who asks, says whose it is:
 *
 * ```ts
 * consumer.apply((_, __, next) => tenants.run(undefined, next)).forRoutes('{*path}');
 * canActivate(context) { …; tenants.set(user.clinic); return true; }
 * ```
 */
export class TenantContext {
  readonly #storage = new AsyncLocalStorage<{ tenant?: Tenant }>();

  /** Undefined outside of `run`, and inside until it is set. */
  get current(): Tenant | undefined {
    return this.#storage.getStore()?.tenant;
  }

  /**
   * Does some work for a tenant, whatever it awaits included.
   * @param tenant  undefined: `set` says it later
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
   */
  run<T>(tenant: Tenant | undefined, work: () => T): T {
    return this.#storage.run({ tenant: parseTenant(tenant) }, work);
  }

  /**
   * Says for whom the work under way is. It is said once.
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID | ERR_DATA_TENANT_MISSING outside of `run` | ERR_DATA_TENANT_MISMATCH when it is
   * for another tenant already
   */
  set(tenant: Tenant): void {
    const context = this.#storage.getStore();
    if (context === undefined)
      throw new DataEncryptionError('ERR_DATA_TENANT_MISSING', 'tenant: want a context that run() opened, got none');
    const wanted = parseTenant(tenant);
    if (context.tenant !== undefined && context.tenant !== wanted) throw tenantMismatch('tenant');
    context.tenant = wanted;
  }
}
