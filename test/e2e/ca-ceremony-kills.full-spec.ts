import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { verifyTranscript } from '@nest-hsm/ca';
import { Hsm } from '@nest-hsm/hsm';
import { CaHome } from '../support/ca-service.js';

const holder = fileURLToPath(new URL('../support/ca-ceremony-holder.mjs', import.meta.url));

/** Of one CA, in order; each run goes on from where the last one was killed. */
const ofOneCa = [
  'transcript-written', // its intent
  'key-generated',
  'transcript-written', // its key
  'certificate-reserved',
  'certificate-linted',
  'certificate-committed',
  'certificate-signed',
  'certificate-completed',
  'transcript-written', // its certificate
];
const fatalSteps = ['transcript-written', ...ofOneCa, ...ofOneCa, 'transcript-written'];

test('kill -9 at every step of a ceremony: the next run goes on, with one key and one certificate each', async () => {
  const home = new CaHome();
  try {
    const transcript = home.file('transcript.jsonl');
    const { root, issuing } = home.authority;
    const ceremony = {
      title: 'Killed',
      witnesses: [],
      scriptSha256: 'ab'.repeat(32),
      transcript,
      config: { authority: { root, issuing } },
    };
    const hsm = home.token.config({ audit: home.audit });
    const argument = JSON.stringify({ hsm, database: { type: 'better-sqlite3', database: home.database }, ceremony });
    for (const step of fatalSteps) {
      const { signal, stderr } = spawnSync(process.execPath, [holder, argument, step], { encoding: 'utf8' });
      expect([step, signal, stderr]).toEqual([step, 'SIGKILL', '']);
    }
    const { status, stderr } = spawnSync(process.execPath, [holder, argument], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    const lines = readFileSync(transcript, 'utf8').split('\n').slice(0, -1);
    const [certificate] = lines.map((line) => JSON.parse(line) as { step: string; certificate?: string }).filter(({ step }) => step === 'certificate'); // prettier-ignore
    const verified = verifyTranscript(readFileSync(transcript), Buffer.from(certificate.certificate ?? '', 'base64'));
    expect([verified.ended, verified.cas.map(({ name }) => name)]).toEqual([expect.any(String), ['root', 'issuing']]);
    expect(home.sql("SELECT profile FROM ca_certificate WHERE state = 'issued' ORDER BY profile")).toEqual([{ profile: 'issuing-ca' }, { profile: 'root-ca' }]); // prettier-ignore
    expect(home.sql("SELECT count(*) AS unfinished FROM ca_certificate WHERE state = 'signing'")).toEqual([{ unfinished: 0 }]); // prettier-ignore
    const opened = await Hsm.open(hsm);
    const keys = await opened.listKeys({ usage: 'sign' });
    await opened.close();
    expect(keys.map(({ label }) => label).filter((label) => label !== 'nest-hsm-probe').sort()).toEqual(['issuing', 'root']); // prettier-ignore
  } finally {
    home.remove();
  }
}, 400_000);
