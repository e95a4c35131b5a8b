import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig, servedCertificates, shownCertificates } from './config.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-sidecar-config-'));
const file = join(directory, 'sidecar.yaml');
afterAll(() => rmSync(directory, { recursive: true }));

const complete = `
hsm:
  name: tls
  members:
    - module: /usr/lib/softhsm/libsofthsm2.so
      token: { label: tls }
      pin: { file: /pin }
  stateDirectory: /state
listeners:
  - listen: { port: 8443 }
    l4: { upstream: { host: 127.0.0.1, port: 8441 } }
  - listen: { activated: https }
    l7: { upstreams: [{ url: 'http://127.0.0.1:3000' }] }
certificates:
  - file: { certificateFile: /certificate.pem, keyLabel: tls }
  - name: internal
    serverNames: ['*.internal.example']
    file: { certificateFile: /internal.pem, keyLabel: tls }
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
    expect(config).toMatchObject({ workers: 1, drainSeconds: 30, admin: { host: '127.0.0.1', port: 8444 } });
    expect(config.certificates.map(({ name }) => name)).toEqual(['tls', 'internal']);
    const [l4, l7] = config.listeners;
    expect(l4).toMatchObject({
      name: '127.0.0.1:8443',
      tls: { alpnProtocols: ['http/1.1'] },
      l4: { connectionLimit: 4_096 },
    });
    expect(l7).toMatchObject({ name: 'https', tls: { alpnProtocols: ['h2', 'http/1.1'], minimumVersion: 'TLSv1.2' } });
  });

  it('serves all certificates but those that upstreams are shown, unless a listener lists its own', () => {
    const shown = complete.replace("'http://127.0.0.1:3000' }]", "'https://127.0.0.1:3000' }], upstreamTls: { certificates: [internal] }"); // prettier-ignore
    const config = read(shown.replace("    serverNames: ['*.internal.example']\n", ''));
    expect(config.listeners.map((listener) => servedCertificates(listener, config))).toEqual([['tls'], ['tls']]);
    expect(config.listeners.map(shownCertificates)).toEqual([[], ['internal']]);
    const listed = read(shown.replace('    l7:', '    certificates: [tls, internal]\n    l7:'));
    expect(servedCertificates(listed.listeners[1], listed)).toEqual(['tls', 'internal']);
  });

  it('has all its faults listed together, with file, line, column and path', () => {
    const faulty = complete
      .replace('listen: { port: 8443 }', 'listen: { port: 70000 }')
      .replace('  - file: { cert', '  - flie: { cert');
    const attempt = (): unknown => read(`${faulty}surprise: 1\n`);
    for (const fault of [
      `${file}:10:15: listeners.0.listen.port: `,
      `${file}:15:5: certificates.0.flie: want a field that is known here`,
      `${file}:20:1: surprise: `,
    ]) {
      expect(attempt).toThrow(fault);
    }
  });

  const file1 = '{ certificateFile: /certificate.pem, keyLabel: tls }';
  it.each<[string, (yaml: string) => string, RegExp]>([
    [
      'no source of a certificate',
      (yaml) => yaml.replace(`file: ${file1}`, 'name: x'),
      /:15:5: certificates\.0: want one of ca and file/,
    ],
    [
      'no proxy',
      (yaml) => yaml.replace('    l4: { upstream: { host: 127.0.0.1, port: 8441 } }\n', ''),
      /:10:5: listeners\.0: want one of l4 and l7/,
    ],
    [
      'two certificates of one name',
      (yaml) => yaml.replace('name: internal', 'name: tls'),
      /:16:5: certificates\.1: want a name, or a key, of its own/,
    ],
    [
      'one key for a certificate and for tickets',
      (yaml) => `${yaml}sessionTickets: { keyLabel: tls, directory: /tickets }\n`,
      /:20:19: sessionTickets\.keyLabel: want a key of its own, got the label of a certificate's/,
    ],
    [
      'an address twice',
      (yaml) => yaml.replace('{ activated: https }', '{ port: 8443 }'),
      /listeners\.1\.listen: want an address of its own/,
    ],
    [
      'a certificate that is not there',
      (yaml) => yaml.replace('    l7:', '    certificates: [tls, other]\n    l7:'),
      /:13:25: listeners\.1\.certificates\.1: want the name of a certificate/,
    ],
    [
      'nothing for clients that name no server',
      (yaml) => yaml.replace('    l7:', '    certificates: [internal]\n    l7:'),
      /listeners\.1: want a certificate without serverNames/,
    ],
    [
      'TLS to an upstream that l4 would not speak',
      (yaml) => yaml.replace('port: 8441 } }', 'port: 8441 }, upstreamTls: { caFile: /ca.pem } }'),
      /:11:\d+: listeners\.0\.l4\.upstreamTls: want none: l4 speaks to its upstream without TLS, l7 with it/,
    ],
    [
      'a certificate for a name that no client can say',
      (yaml) => yaml.replace('*.internal.example', 'https://internal.example'),
      /:17:\d+: certificates\.1\.serverNames\.0: want a host name, or \*\. and one/,
    ],
    [
      'rules about clients for a name that no client can say',
      (yaml) => yaml.replace('    l7: {', '    tls: { clientCertificatesByName: { 10.0.0.1: {} } }\n    l7: {'),
      /:13:\d+: listeners\.1\.tls\.clientCertificatesByName\.10\.0\.0\.1: /,
    ],
    [
      'rules about clients by name where all names lead to one upstream',
      (yaml) => yaml.replace('    l4:', '    tls: { clientCertificatesByName: { a.example: {} } }\n    l4:'),
      /:11:12: listeners\.0\.tls\.clientCertificatesByName: want clientCertificates alone with l4/,
    ],
    [
      'rules about clients by name that any Host may borrow',
      (yaml) =>
        yaml
          .replace('    l7: {', '    tls: { clientCertificatesByName: { a.example: {} } }\n    l7: {')
          .replace('    l7: {', '    l7: { requireMatchingHost: false,'),
      /listeners\.1\.l7\.requireMatchingHost: want true with clientCertificatesByName/,
    ],
    [
      'a certificate for upstreams that is not there',
      (yaml) => yaml.replace("3000' }]", "3000' }], upstreamTls: { certificates: [internal, other] }"),
      /:13:\d+: listeners\.1\.l7\.upstreamTls\.certificates\.1: want the name of a certificate/,
    ],
    [
      'a certificate for upstreams that nobody would ask for',
      (yaml) => yaml.replace("3000' }]", "3000' }], upstreamTls: { certificates: [internal] }"),
      /:13:\d+: listeners\.1\.l7\.upstreams\.0\.url: want https, since upstreams are shown a certificate/,
    ],
    [
      'no other certificate than that for upstreams',
      (yaml) =>
        yaml.replace("'http://127.0.0.1:3000' }]", "'https://127.0.0.1:3000' }], upstreamTls: { certificates: [tls] }"),
      /:10:5: listeners\.0: want a certificate without serverNames/,
    ],
    [
      'a certificate that upstreams are shown and that nobody would serve any more',
      (yaml) =>
        yaml.replace(
          "'http://127.0.0.1:3000' }]",
          "'https://127.0.0.1:3000' }], upstreamTls: { certificates: [internal] }",
        ),
      /:17:\d+: certificates\.1\.serverNames: want a listener that lists this certificate/,
    ],
    [
      'TLS that upstreams are to be met by and that is none',
      (yaml) =>
        yaml.replace("3000' }]", "3000' }], upstreamTls: { minimumVersion: TLSv1.0, rejectUnauthorized: false }"),
      /:13:\d+: listeners\.1\.l7\.upstreamTls\.rejectUnauthorized: want a field that is known here/,
    ],
  ])('is refused with %s', (_what, change, fault) => {
    expect(() => read(change(complete))).toThrow(fault);
  });

  it('is YAML and there', () => {
    expect(() => read('listen: [')).toThrow(/sidecar\.yaml:1:10: want YAML/);
    expect(() => readConfig(`${file}.none`)).toThrow(/want a readable YAML file, got ENOENT/);
  });
});
