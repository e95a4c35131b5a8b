import { jest } from '@jest/globals';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';
import type { OrderRecord } from '../store/order-store.js';
import { Orders } from './orders.js';

const hour = 3_600_000;
const approved = { extends: 'tls-server', approval: true };
const config: Partial<CaConfig> = { profiles: { approved } };
const changed: Partial<CaConfig> = { profiles: { approved: { ...approved, validityDays: 30 } } };

describe('an approved order', () => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  let order: OrderRecord;
  let runRecovery: () => Promise<void>;
  beforeEach(async () => {
    ca = await TestCa.create();
    authority = await open(config);
    order = await orders().place({ csr: buildCsr(), profile: 'approved', requester: 'ada' });
  });
  afterEach(() => ca.remove());

  const orders = (): Orders => new Orders({ authority, orders: ca.stores.orders, hours: 24, now: () => ca.now });
  const open = (overrides: Partial<CaConfig>): Promise<CertificateAuthority> =>
    ca.open(overrides, undefined, ({ recovery }) => {
      runRecovery = async () => recovery?.();
      return { start: () => undefined, stop: async () => undefined };
    });

  async function approveWithoutToken(): Promise<string> {
    ca.token.fault = () => {
      throw new Error('token gone');
    };
    await expect(orders().approve(order.id, 'grace')).rejects.toThrow('token gone');
    ca.token.fault = undefined;
    ca.now = new Date(ca.now.getTime() + hour);
    const [{ serial }] = await ca.certificates.listSigning(authority.issuer.id);
    return serial;
  }
  const change = (column: string, value: string | null): Promise<unknown> =>
    ca.dataSource.query(`UPDATE ca_order SET ${column} = ?`, [value]);
  const stateOf = async (serial: string): Promise<string | undefined> =>
    (await ca.stores.revocations.find(authority.issuer.id, serial))?.state ??
    (await ca.certificates.find(serial))?.state;

  test('that a crash left unfinished is completed, and then has its certificate', async () => {
    const serial = await approveWithoutToken();
    await runRecovery();
    expect(await stateOf(serial)).toBe('issued');
    expect((await orders().find(order.id)).serial).toBe(serial);
    ca.now = new Date(ca.now.getTime() + 25 * hour);
    expect((await orders().approve(order.id, 'grace')).serial).toBe(serial);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['that waits', () => change('state', 'pending')],
    ['that was refused', () => change('state', 'refused')],
    ['of somebody else', () => change('requester', 'eve')],
    ['whose requester approved it', () => change('decided_by', 'ada')],
    ['that nobody approved', () => change('decided_by', null)],
    ['of another id', () => change('id', '0'.repeat(32))],
    ['of another CSR', () => change('csr', buildCsr().toString('base64'))],
    ['of the profile as it was', async () => (authority = await open(changed))],
  ])('%s is none for recovery: nothing is signed, the serial is revoked', async (_, spoil) => {
    const serial = await approveWithoutToken();
    const signatures = ca.token.signatures;
    await spoil();
    await runRecovery();
    expect([await stateOf(serial), ca.token.signatures]).toEqual(['revoked', signatures]);
  });

  test('is not issued after its time, nor under a profile that has changed', async () => {
    const serial = await approveWithoutToken();
    await authority.status.revoke(serial);
    const inTime = ca.now;
    ca.now = new Date(inTime.getTime() + 24 * hour);
    await expect(orders().approve(order.id, 'grace')).rejects.toMatchObject({ code: 'ERR_CA_ORDER_DECIDED', message: expect.stringMatching(/expired/) as string }); // prettier-ignore
    ca.now = inTime;
    authority = await open(changed);
    await expect(orders().approve(order.id, 'grace')).rejects.toMatchObject({ code: 'ERR_CA_ORDER_DECIDED', message: expect.stringMatching(/changed/) as string }); // prettier-ignore
    authority = await open(config);
    expect((await orders().approve(order.id, 'grace')).serial).not.toBe(serial);
  });

  test.each([
    ['csr', buildCsr().toString('base64')],
    ['requester', 'grace'],
    ['names', '["dns:harmless.example.test"]'],
    ['seal', null],
  ])('that was changed in the database (%s) is none: nobody can approve it', async (column, value) => {
    await change(column, value);
    await expect(orders().approve(order.id, 'mary')).rejects.toMatchObject({ code: 'ERR_CA_ORDER_NOT_FOUND' });
    expect(await ca.states()).toEqual(['issued', 'issued']);
  });

  test('whose certificate was issued and not written down is found with it, even after its time', async () => {
    const complete = jest.spyOn(ca.stores.orders, 'complete').mockRejectedValue(new Error('database gone'));
    const { serial } = await orders().approve(order.id, 'grace');
    complete.mockRestore();
    expect(await ca.stores.orders.find(order.id)).not.toHaveProperty('serial', serial);
    ca.now = new Date(ca.now.getTime() + 200 * hour);
    expect(await orders().find(order.id)).toMatchObject({ state: 'approved', serial });
    expect(await ca.stores.orders.find(order.id)).toMatchObject({ serial });
    expect((await orders().approve(order.id, 'grace')).serial).toBe(serial);
  });

  test('is issued once, whoever approves it again', async () => {
    const { serial } = await orders().approve(order.id, 'grace');
    await change('serial', null);
    ca.now = new Date(ca.now.getTime() + 22 * hour);
    expect((await orders().approve(order.id, 'mary')).serial).toBe(serial);
    await expect(orders().approve(order.id, 'ada')).rejects.toMatchObject({ code: 'ERR_CA_APPROVAL_REQUIRED' });
  });
});

test('an idempotency key stands for one order for a day, and for as long as that one waits', async () => {
  const ca = await TestCa.create();
  const authority = await ca.open(config);
  const orders = new Orders({ authority, orders: ca.stores.orders, hours: 36, now: () => ca.now });
  const csr = buildCsr();
  const place = async (profile = 'approved'): Promise<string> =>
    (await orders.place({ csr, profile, requester: 'ada', idempotencyKey: 'k' })).id;
  const later = (hours: number) => (ca.now = new Date(ca.now.getTime() + hours * hour));
  const first = await place();
  await expect(place('other')).rejects.toMatchObject({ code: 'ERR_CA_IDEMPOTENCY_KEY_REUSED' });
  later(35);
  expect(await place()).toBe(first);
  later(1);
  const second = await place();
  expect(second).not.toBe(first);
  await orders.refuse(second, 'grace');
  later(23);
  expect(await place()).toBe(second);
  later(1);
  expect([first, second]).not.toContain(await place());
  await ca.remove();
});

test('orders that wait are listed past those that somebody else has put there', async () => {
  const ca = await TestCa.create();
  const authority = await ca.open(config);
  const orders = new Orders({ authority, orders: ca.stores.orders, hours: 24, now: () => ca.now });
  const placed: string[] = [];
  for (let count = 0; count < 5; count++) {
    ca.now = new Date(ca.now.getTime() + 1_000);
    placed.push((await orders.place({ csr: buildCsr(), profile: 'approved', requester: 'ada' })).id);
  }
  for (const id of placed.slice(0, 3))
    await ca.dataSource.query(`UPDATE ca_order SET requester = 'eve' WHERE id = ?`, [id]);
  expect((await orders.pending(2)).map(({ id }) => id)).toEqual(placed.slice(3));
  expect((await orders.pending(1)).map(({ id }) => id)).toEqual(placed.slice(3, 4));
  expect((await orders.pending(2, placed[3])).map(({ id }) => id)).toEqual(placed.slice(4));
  expect((await orders.pending(1, undefined, new Set(['tls-server', 'approved']))).map(({ id }) => id)).toEqual(
    placed.slice(3, 4),
  );
  expect(await orders.pending(1, undefined, new Set(['tls-server']))).toEqual([]);
  await ca.remove();
});
