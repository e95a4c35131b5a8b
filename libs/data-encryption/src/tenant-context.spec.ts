import { setTimeout as delay } from 'node:timers/promises';
import { TenantContext } from './tenant-context.js';
import { parseTenant } from './tenant.js';

describe('TenantContext', () => {
  const tenants = new TenantContext();

  it('is what each piece of work was begun for, however they interleave', async () => {
    const seen = await Promise.all(
      ['north', 'south', 'west'].map((tenant, index) =>
        tenants.run(tenant, async () => {
          await delay(3 - index);
          return tenants.current;
        }),
      ),
    );
    expect(seen).toEqual(['north', 'south', 'west']);
    expect(tenants.current).toBeUndefined();
  });

  it('is said later by whoever knows, once', async () => {
    // As a middleware opens it and a guard says it.
    const handled = await tenants.run(undefined, async () => {
      expect(tenants.current).toBeUndefined();
      await (async () => {
        await delay(0);
        tenants.set('north');
      })();
      tenants.set('north');
      expect(() => tenants.set('south')).toThrow(
        expect.objectContaining({ code: 'ERR_DATA_TENANT_MISMATCH' }) as Error,
      );
      return tenants.current;
    });
    expect(handled).toBe('north');
    expect(() => tenants.set('north')).toThrow(expect.objectContaining({ code: 'ERR_DATA_TENANT_MISSING' }) as Error);
  });

  it.each(['a\u0000b', 'x'.repeat(256), '\ud800', {}, true])('refuses %p', (value) => {
    expect(() => parseTenant(value)).toThrow(expect.objectContaining({ code: 'ERR_DATA_VALUE_INVALID' }) as Error);
  });

  it('takes numbers as their text, and nothing for no tenant', () => {
    expect([7, 7n, '7'].map(parseTenant)).toEqual(['7', '7', '7']);
    expect([undefined, null, ''].map(parseTenant)).toEqual([undefined, undefined, undefined]);
  });
});
