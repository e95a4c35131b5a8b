import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HsmTokenMemberConfig, ParsedHsmConfig } from '@nest-hsm/hsm';
import { parse } from 'yaml';
import { readConfig as readCaConfig } from '../../apps/ca/src/config.js';
import { readConfig as readRecordsConfig } from '../../apps/records/src/config.js';
import { readConfig as readSidecarConfig } from '../../apps/tls-sidecar/src/config.js';
import { runProcess } from '../support/scratch-workspace.js';

const tokenMember = (hsm: ParsedHsmConfig) => hsm.members[0] as HsmTokenMemberConfig;

interface Service {
  readonly image: string;
  readonly user: string;
  readonly read_only?: boolean;
  readonly cap_drop?: string[];
  readonly security_opt?: string[];
  readonly command?: string[];
  readonly volumes?: string[];
  readonly ports?: string[];
  readonly networks?: string[];
  readonly network_mode?: string;
  readonly healthcheck?: { readonly test: string[] };
  readonly depends_on?: Record<string, { condition: string }>;
}

interface Composition {
  readonly services: Record<string, Service>;
  readonly volumes: object;
  readonly networks: object;
}

const composition = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as Composition;
const { services } = composition;
const applications = ['ca', 'records', 'tls-sidecar'] as const;
const own = '/var/lib/nest-hsm';

/** The clients that can read the file without an engine, if this machine has one. */
const client = [['docker', 'compose'], ['docker-compose']].find(
  ([program, ...args]) => spawnSync(program, [...args, 'version'], { stdio: 'ignore' }).status === 0,
);

describe('docker-compose.yml', () => {
  (client === undefined ? it.skip : it)('is one to a compose client', async () => {
    const [program, ...args] = client as [string, ...string[]];
    expect(await runProcess(program, [...args, 'config', '--quiet'])).toMatchObject({ code: 0 });
  });

  it.each(Object.keys(services))('%s runs without privileges on a read-only file system', (name) => {
    const { user, read_only, cap_drop, security_opt } = services[name];
    expect(['node', 'postgres']).toContain(user);
    expect({ read_only, cap_drop, security_opt }).toEqual({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
  });

  it.each(Object.keys(services).filter((name) => name !== 'init'))('%s says whether it is healthy', (name) => {
    expect(services[name].healthcheck?.test[0]).toBe('CMD');
  });

  it('publishes on loopback only, and not what needs no client', () => {
    const published = Object.entries(services).flatMap(([name, { ports = [] }]) => ports.map((port) => [name, port]));
    expect(published).toEqual([
      ['ca', '127.0.0.1:8440:8440'],
      ['tls-sidecar', '127.0.0.1:8443:8443'],
    ]);
  });

  it('gives each service a volume that no other service sees', () => {
    for (const name of applications) {
      const holders = Object.entries(services).filter(([, { volumes = [] }]) =>
        volumes.some((volume) => volume.startsWith(`${name}:`)),
      );
      expect(holders.map(([holder]) => holder)).toEqual(['init', name]);
      expect(services[name].volumes).toContain(`${name}:${own}`);
    }
  });

  it('declares what it uses', () => {
    const used = Object.values(services).flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(':')[0]));
    const named = new Set(used.filter((volume) => !volume.startsWith('.')));
    expect([...named].sort()).toEqual(Object.keys(composition.volumes).sort());
    for (const file of used.filter((volume) => volume.startsWith('.'))) expect(existsSync(file)).toBe(true);
    for (const { networks = [], depends_on = {} } of Object.values(services)) {
      for (const network of networks) expect(Object.keys(composition.networks)).toContain(network);
      for (const dependency of Object.keys(depends_on)) expect(Object.keys(services)).toContain(dependency);
    }
  });

  it('runs programs that the image has', () => {
    for (const { command } of applications.map((name) => services[name]))
      expect(existsSync(command?.[0] ?? '')).toBe(true);
    expect(existsSync(services.init.command?.[0] ?? '')).toBe(true);
  });
});

describe('the configuration of', () => {
  const read = { ca: readCaConfig, records: readRecordsConfig, 'tls-sidecar': readSidecarConfig };
  const ca = readCaConfig('compose/ca.yaml');
  const records = readRecordsConfig('compose/records.yaml');
  const sidecar = readSidecarConfig('compose/tls-sidecar.yaml');
  const [listener] = sidecar.listeners;
  const listen = listener.listen as { readonly port: number };
  const issuer = sidecar.certificates[0].ca;

  it.each(applications)('%s is one to the application', (name) => {
    expect(() => read[name](`compose/${name}.yaml`)).not.toThrow();
    expect(services[name].volumes).toContain(`./compose/${name}.yaml:/etc/nest-hsm.yaml:ro`);
  });

  it('the three fit each other and the composition', () => {
    expect(listener.l4?.upstream).toEqual({ host: 'records', port: records.listen.port });
    // What the sidecar publishes has nothing for operators.
    expect([records.admin?.host, sidecar.admin.host]).toEqual(['127.0.0.1', '127.0.0.1']);
    expect(issuer?.url).toBe(`http://ca:${ca.listen.port}`);
    expect(issuer?.dnsNames.every((name) => ca.allowedNames?.dns?.includes(name))).toBe(true);
    expect(services.ca.ports).toContain(`127.0.0.1:${ca.listen.port}:${ca.listen.port}`);
    expect(services['tls-sidecar'].ports).toContain(`127.0.0.1:${listen.port}:${listen.port}`);
    const probed = applications.map((name) => services[name].healthcheck?.test.at(-1));
    expect(probed).toEqual(
      [ca.listen.port, records.admin?.port, sidecar.admin.port].map((port) => `http://127.0.0.1:${port}/health`),
    );
  });

  it('names files that the init service makes, which only their owner reads', async () => {
    const volumes = mkdtempSync(join(tmpdir(), 'nest-hsm-volumes-'));
    for (const name of [...applications, 'postgres']) mkdirSync(join(volumes, name));
    try {
      for (const run of ['made', 'kept']) {
        const outcome = await runProcess(process.execPath, ['scripts/compose-init.mjs', volumes]);
        expect(outcome).toMatchObject({ code: 0, stderr: '' });
        expect(outcome.stdout).toMatch(new RegExp(`secrets: ${run}\n$`));
      }
      // PostgreSQL is made from that file once and for all: of a disk that is full there it must have nothing.
      const roles = join(volumes, 'postgres', 'roles.sql');
      rmSync(roles);
      const init = [process.execPath, 'scripts/compose-init.mjs', volumes];
      expect(await runProcess('prlimit', ['--fsize=200', ...init])).toMatchObject({ code: 1 });
      expect(existsSync(roles)).toBe(false);
      expect(await runProcess(init[0], init.slice(1))).toMatchObject({ code: 0, stderr: '' });
      expect(readFileSync(roles, 'utf8').match(/^CREATE ROLE/gm)).toHaveLength(2);
      const inVolume = (service: string, path: string) => join(volumes, service, path.slice(own.length));
      const urlFile = (database: object) => String((database as { urlFile?: string }).urlFile);
      const secrets = [
        inVolume('ca', ca.setupTokenFile),
        ...ca.access.clients.map(({ tokenFile }) => inVolume('ca', tokenFile ?? '')),
        inVolume('ca', urlFile(ca.database)),
        inVolume('records', urlFile(records.database)),
        inVolume('tls-sidecar', issuer?.tokenFile ?? ''),
        ...Object.entries({ ca, records, 'tls-sidecar': sidecar }).map(([service, { hsm }]) =>
          inVolume(service, (tokenMember(hsm).pin as { file: string }).file),
        ),
      ];
      for (const secret of secrets) expect([secret, statSync(secret).mode & 0o777]).toEqual([secret, 0o600]);
      for (const [service, { hsm }] of Object.entries({ ca, records, 'tls-sidecar': sidecar })) {
        const conf = readFileSync(inVolume(service, tokenMember(hsm).moduleEnvironment?.SOFTHSM2_CONF ?? ''), 'utf8');
        const tokens = /tokendir = (.+)/.exec(conf)?.[1] ?? '';
        expect(readdirSync(inVolume(service, tokens))).toHaveLength(1);
      }
      expect(readFileSync(inVolume('ca', urlFile(ca.database)), 'utf8')).toMatch(
        /^postgres:\/\/ca:[\w-]{43}@postgres\/ca\n$/,
      );
    } finally {
      rmSync(volumes, { recursive: true, force: true });
    }
  });
});

describe('Dockerfile', () => {
  const dockerfile = readFileSync('Dockerfile', 'utf8');

  it('installs the dependencies of every workspace', () => {
    for (const folder of ['apps', 'libs']) {
      for (const name of readdirSync(folder))
        expect(dockerfile).toContain(`COPY ${folder}/${name}/package.json ${folder}/${name}/`);
    }
  });

  it('does not run as root, and makes the folders of the volumes for who does run', () => {
    expect(dockerfile).toMatch(/\nUSER node\nENTRYPOINT \["node"\]\n$/);
    for (const name of [...applications, 'postgres'])
      expect(dockerfile).toMatch(new RegExp(`install -d -o node -g node .*/init/${name}\\b`));
  });
});
