import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from './config.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-sidecar-config-'));
const file = join(directory, 'sidecar.yaml');
afterAll(() => rmSync(directory, { recursive: true }));

const complete = `
listen: { port: 8443 }
hsm:
  name: tls
  members:
    - module: /usr/lib/softhsm/libsofthsm2.so
      token: { label: tls }
      pin: { file: /pin }
  stateDirectory: /state
upstream: { host: 127.0.0.1, port: 8441 }
certificate:
  file: { certificateFile: /certificate.pem, keyLabel: tls }
admin: { port: 8444 }
`;

function read(yaml: string): ReturnType<typeof readConfig> {
  writeFileSync(file, yaml);
  return readConfig(file);
}

describe('the configuration file of the sidecar', () => {
  it('is complete and frozen once read', () => {
    const config = read(complete);
    expect(Object.isFrozen(config)).toBe(true);
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8443 });
    expect(config.tls).toMatchObject({ minimumVersion: 'TLSv1.2', handshakeTimeoutMilliseconds: 10_000 });
    expect(config.proxy).toEqual({
      connectTimeoutMilliseconds: 5_000,
      idleTimeoutMilliseconds: 300_000,
      connectionLimit: 4_096,
    });
  });

  it('has all its faults listed together, with the file', () => {
    const faulty = complete
      .replace('listen: { port: 8443 }', 'listen: { port: 70000 }')
      .replace('  file: { cert', '  flie: { cert');
    const attempt = (): unknown => read(`${faulty}surprise: 1\n`);
    for (const fault of [file, /surprise/, /listen\.port/, /flie/]) expect(attempt).toThrow(fault);
  });

  it.each([
    ['neither', 'certificate: {}'],
    [
      'both',
      `certificate:
  file: { certificateFile: /c, keyLabel: k }
  ca: { url: 'http://localhost', tokenFile: /t, dnsNames: [a], keyLabel: k, certificateFile: /c }`,
    ],
  ])('names one source of the certificate, not %s', (_what, certificate) => {
    const yaml = complete.replace(/certificate:\n.*\n/, `${certificate}\n`);
    expect(() => read(yaml)).toThrow(/want one of ca and file/);
  });

  it('is YAML and there', () => {
    expect(() => read('listen: [')).toThrow(/want a readable YAML file/);
    expect(() => readConfig(`${file}.none`)).toThrow(/want a readable YAML file, got ENOENT/);
  });
});
