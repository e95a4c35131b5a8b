// Runs the examples in the consumer's project, as its own programs would, and prints what they did as one JSON document.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { Hsm, type HsmConfig } from '@nest-hsm/hsm';
import { createTlsOffloadServer, credentialFromFile, TlsTerminator, type TlsSocket } from '@nest-hsm/tls-offload';
import { DevicesModule, DeviceEnrolment } from './ca.example.js';
import { openPatients, Patient } from './data-encryption.example.js';
import { ReceiptsModule, ReceiptSigner } from './hsm.example.js';
import { callHttps, serveHttps } from './tls-offload.example.js';

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

/** A service with the certificate of the one above, which wants certificates of its clients. */
async function callOverTls() {
  const hsm = await Hsm.open(task.tokens.web);
  const certificateFile = process.env.CERTIFICATE_FILE ?? '';
  const terminator = new TlsTerminator({
    credentials: [await credentialFromFile(hsm, { certificateFile, keyLabel: 'web' })],
    clientCertificates: { mode: 'required', caFile: task.rootFile },
  });
  const server = createTlsOffloadServer(terminator, ({ socket }, response) => {
    const { authorized } = socket as unknown as TlsSocket;
    response.end(authorized ? 'known by a key in the HSM' : 'unknown');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const answer = await callHttps(hsm, `https://localhost:${(server.address() as AddressInfo).port}/`, task.rootFile);
  server.close();
  await terminator.close(0);
  await hsm.close();
  return answer;
}

const done = {
  receipt: await signReceipt(),
  patient: await storePatient(),
  device: await enrolDevice(),
  greeting: await greetOverTls(),
  call: await callOverTls(),
};
process.stdout.write(JSON.stringify(done));
