// A data source whose rows are of tenants, as the command line takes it. CHARTS says what database and HSM, as JSON.
import 'reflect-metadata';
import { EncryptedColumn, EncryptedEntity, TenantContext, withDataEncryption } from '@nest-hsm/data-encryption';
import { Hsm } from '@nest-hsm/hsm';
import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm';

export class Chart {}
PrimaryColumn({ type: 'int' })(Chart.prototype, 'id');
Column({ type: 'text' })(Chart.prototype, 'clinic');
EncryptedColumn({ searchable: true })(Chart.prototype, 'name');
Entity('chart')(Chart);
EncryptedEntity({ tableId: 'Chart', keyScope: 'tenant', tenantColumn: 'clinic' })(Chart);

export const tenants = new TenantContext();
const { database, hsm, kekPerTenant } = JSON.parse(process.env.CHARTS);
export const token = await Hsm.open(hsm);
export const dataSource = withDataEncryption(new DataSource({ ...database, entities: [Chart] }), {
  hsm: token,
  kekLabel: 'kek',
  createKek: true,
  kekPerTenant,
  databaseId: 'charts',
  leaseSeconds: 1,
  tenant: () => tenants.current,
});
