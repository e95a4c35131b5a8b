// An application's data source, as TypeORM's command line takes it. PATIENTS says what database and HSM, as JSON, and how far its
// visitors are on their way from plaintext.
import 'reflect-metadata';
import { EncryptedColumn, withDataEncryption } from '@nest-hsm/data-encryption';
import { Hsm } from '@nest-hsm/hsm';
import { DataSource, Entity, PrimaryColumn } from 'typeorm';

class Patient {}
PrimaryColumn({ type: 'int' })(Patient.prototype, 'id');
EncryptedColumn()(Patient.prototype, 'name');
EncryptedColumn()(Patient.prototype, 'diagnosis');
Entity('patient')(Patient);

const { database, hsm, phase } = JSON.parse(process.env.PATIENTS);

class Visitor {}
PrimaryColumn({ type: 'int' })(Visitor.prototype, 'id');
const plaintext = { phase, name: 'email', type: 'varchar', nullable: true };
EncryptedColumn({ name: 'email_cell', nullable: true, searchable: true, plaintext })(Visitor.prototype, 'email');
Entity('visitor')(Visitor);

const dataSource = new DataSource({ ...database, entities: phase === undefined ? [Patient] : [Patient, Visitor] });
export default withDataEncryption(dataSource, {
  hsm: await Hsm.open(hsm),
  kekLabel: 'kek',
  createKek: true,
  databaseId: 'patients',
  leaseSeconds: 1,
});
