// An application's data source, as TypeORM's command line takes it. PATIENTS says what database and HSM, as JSON.
import 'reflect-metadata';
import { EncryptedColumn, withDataEncryption } from '@nest-hsm/data-encryption';
import { Hsm } from '@nest-hsm/hsm';
import { DataSource, Entity, PrimaryColumn } from 'typeorm';

class Patient {}
PrimaryColumn({ type: 'int' })(Patient.prototype, 'id');
EncryptedColumn()(Patient.prototype, 'name');
EncryptedColumn()(Patient.prototype, 'diagnosis');
Entity('patient')(Patient);

const { database, hsm } = JSON.parse(process.env.PATIENTS);
const dataSource = new DataSource({ ...database, entities: [Patient] });
export default withDataEncryption(dataSource, {
  hsm: await Hsm.open(hsm),
  kekLabel: 'kek',
  createKek: true,
  databaseId: 'patients',
  leaseSeconds: 1,
});
