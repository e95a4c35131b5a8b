// Runs the examples in the consumer's project, as its own programs would, and prints what they did as one JSON document.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { Hsm, type HsmConfig } from '@nest-hsm/hsm';
import { DevicesModule, DeviceEnrolment } from './ca.example.js';
import { openPatients, Patient } from './data-encryption.example.js';
import { ReceiptsModule, ReceiptSigner } from './hsm.example.js';
import { serveHttps } from './tls-offload.example.js';

interface Task {
  readonly tokens: Readonly<Record<'devices' | 'patients' | 'web', HsmConfig>>;
  readonly databases: Readonly<Record<'devices' | 'patients', string>>;
  readonly csr: string;
  /** The trust anchor of the CA that certifies the web service. */
  readonly rootFile: string;
}

const task = JSON.parse(process.argv[2] ?? '') as Task;

async function signReceipt() {
  const app = await NestFactory.createApplicationContext(ReceiptsModule, { logger: ['error'], abortOnError: false });
  const { signature, publicKey } = await app.get(ReceiptSigner).sign('one coffee');
  await app.close();
  return { signature: signature.toString('base64'), publicKey };
}

async function storePatient() {
  const hsm = await Hsm.open(task.tokens.patients);
  process.env.DATABASE_URL = task.databases.patients;
  const dataSource = await openPatients(hsm);
  const patients = dataSource.getRepository(Patient);
  const { id } = await patients.save({ name: 'Ada', diagnosis: 'hay fever', bornOn: new Date('1815-12-10') });
  const read = await patients.findOneByOrFail({ id });
  await dataSource.destroy();
  await hsm.close();
  return { diagnosis: read.diagnosis, bornOn: read.bornOn };
}

async function enrolDevice() {
  const hsm = await Hsm.open(task.tokens.devices);
  process.env.DATABASE_URL = task.databases.devices;
  const app = await NestFactory.createApplicationContext(await DevicesModule.over(hsm), {
    logger: ['error'],
    abortOnError: false,
  });
  const enrolled = await app.get(DeviceEnrolment).enrol(task.csr);
  await app.close();
  await hsm.close();
  return Object.fromEntries(Object.entries(enrolled).map(([name, der]) => [name, der.toString('base64')]));
}

async function greetOverTls() {
  const hsm = await Hsm.open(task.tokens.web);
  const app = await serveHttps(hsm, 0);
  const { port } = new URL(await app.getUrl());
  const curl = ['--silent', '--show-error', '--fail', '--cacert', task.rootFile, `https://localhost:${port}/`];
  const { stdout } = await promisify(execFile)('curl', curl);
  await app.close();
  await hsm.close();
  return stdout;
}

const done = {
  receipt: await signReceipt(),
  patient: await storePatient(),
  device: await enrolDevice(),
  greeting: await greetOverTls(),
};
process.stdout.write(JSON.stringify(done));
