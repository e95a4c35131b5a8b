import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Hsm, type HsmConfig } from '@nest-hsm/hsm';
import { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { issueCertificate } from './certificate.js';
import { Nginx } from './nginx.js';
import type { Peers } from './peers.js';
import { ServerProcess } from './server-process.js';
import type { Side } from './side.js';
import type { NodeTask, TerminatorTask } from './task.js';

export type KeyKind = 'ec' | 'rsa';
const algorithms = { ec: 'ec-p256', rsa: 'rsa-2048' } as const;

/** Serves TLS with a certificate of a root of its own. */
export interface HandshakeSide extends Side {
  /** PEM. */
  readonly rootFile: string;
}

/** A steerable token with a key, its certificate, and everybody who can serve that. */
export class TokenStage {
  static async open(kind: KeyKind, peers: Peers): Promise<TokenStage> {
    const device = new VirtualHsm(`bench-tls-${kind}`);
    const hsm = await Hsm.open(device.config());
    const { spki } = await hsm.generateKeyPair({ label: kind, algorithm: algorithms[kind] });
    await hsm.close();
    const publicKey = createPublicKey({ key: spki as Buffer, format: 'der', type: 'spki' });
    return new TokenStage(kind, device, peers, issueCertificate(device.token.directory, publicKey));
  }

  private constructor(
    private readonly kind: KeyKind,
    readonly device: VirtualHsm,
    private readonly peers: Peers,
    private readonly files: { readonly rootFile: string; readonly certificateFile: string },
  ) {}

  /** Ours, its signatures made by the one device or, with another configuration, by a fleet of devices with the same keys. */
  terminator(config: HsmConfig = this.device.config()): HandshakeSide {
    const { rootFile, certificateFile } = this.files;
    const task: TerminatorTask = { config, keyLabel: this.kind, certificateFile };
    return {
      name: 'tls-offload',
      rootFile,
      start: () => ServerProcess.start(new URL('terminator-server.js', import.meta.url), task),
    };
  }

  /** Those with the key on the token that are here: nginx with one worker and with eight, Node. */
  get engines(): readonly HandshakeSide[] {
    const { nginx, engine } = this.peers;
    if (engine === undefined) return [];
    const { rootFile, certificateFile } = this.files;
    const nodeTask: NodeTask = { certificateFile, key: { engine: 'pkcs11', uri: this.#keyUri } };
    const node = {
      name: 'node-engine',
      rootFile,
      start: () =>
        ServerProcess.start(new URL('node-server.js', import.meta.url), nodeTask, {
          ...this.device.moduleEnvironment,
          OPENSSL_ENGINES: dirname(engine),
          PKCS11_MODULE_PATH: this.device.module,
        }),
    };
    if (nginx === undefined) return [node];
    const environment = { ...this.device.moduleEnvironment, OPENSSL_CONF: this.#engineConfiguration(engine) };
    const withWorkers = (workers: number): HandshakeSide => ({
      name: `nginx-${workers}`,
      rootFile,
      start: () => Nginx.start(nginx, { workers, environment, block: (port) => this.#httpBlock(port) }),
    });
    return [withWorkers(1), withWorkers(8), node];
  }

  /** Node with a new key of the same kind in a file. */
  keyInFile(): HandshakeSide {
    const directory = join(this.device.token.directory, 'file');
    mkdirSync(directory, { recursive: true });
    const { privateKey, publicKey } =
      this.kind === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const file = join(directory, 'server.key');
    writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const { rootFile, certificateFile } = issueCertificate(directory, publicKey);
    return {
      name: 'node-file',
      rootFile,
      start: () => ServerProcess.start(new URL('node-server.js', import.meta.url), { certificateFile, key: { file } }),
    };
  }

  remove(): void {
    this.device.remove();
  }

  get #keyUri(): string {
    const { label, pinFile } = this.device.token;
    return `pkcs11:token=${label};object=${this.kind};type=private?pin-source=file:${pinFile}`;
  }

  #httpBlock(port: number): string {
    return `http {
      access_log off; keepalive_requests 10000000;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server {
        listen 127.0.0.1:${port} ssl backlog=1024;
        ssl_certificate ${this.files.certificateFile}; ssl_certificate_key "engine:pkcs11:${this.#keyUri}";
        ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
        location / { return 200 "answered"; }
      }
    }`;
  }

  /** nginx names the engine only in its key; with which module it works, and that it begins at once, OpenSSL has to be told. */
  #engineConfiguration(engine: string): string {
    const file = join(this.device.token.directory, 'openssl-engine.cnf');
    writeFileSync(
      file,
      `openssl_conf = start
       [start]
       engines = engines
       [engines]
       pkcs11 = pkcs11
       [pkcs11]
       engine_id = pkcs11
       dynamic_path = ${engine}
       MODULE_PATH = ${this.device.module}
       init = 1
      `,
    );
    return file;
  }
}
