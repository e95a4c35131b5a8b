import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ClientIdentity {
  readonly cert: string;
  readonly key: string;
}

/** An authority for clients in openssl's hands: a root, optionally an intermediate that issues, certificates and CRLs. */
export class ClientPki {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-client-pki-'));
  readonly rootFile = this.file('root.pem');
  #count = 0;

  constructor() {
    this.#openssl('req', '-x509', ...curve, '-keyout', this.file('root.key'), '-out', this.rootFile, '-subj', '/CN=client root', '-days', '30', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'); // prettier-ignore
    this.#database('root');
  }

  get root(): string {
    return readFileSync(this.rootFile, 'utf8');
  }

  /** @returns its certificate file */
  intermediate(name = 'intermediate'): string {
    this.#issue(
      name,
      `/CN=${name}`,
      'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign',
      'root',
      [],
    );
    this.#database(name);
    return this.file(`${name}.pem`);
  }

  /** @param days  negative: has ended */
  client({ subject = '/CN=alice/O=Example', names = 'DNS:alice.example', issuer = 'root', extensions = '', days = 10 } = {}): ClientIdentity & { file: string } {
    const name = `client-${this.#count++}`;
    const san = names === '' ? '' : `subjectAltName=${names}\n`;
    const purpose = 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n';
    const validity = days < 0 ? ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'] : ['-days', String(days)];
    this.#issue(name, subject, extensions === '' ? `${purpose}${san}` : extensions, issuer, validity);
    return { cert: readFileSync(this.file(`${name}.pem`), 'utf8'), key: readFileSync(this.file(`${name}.key`), 'utf8'), file: this.file(`${name}.pem`) };
  } // prettier-ignore

  revoke({ file }: { file: string }, issuer = 'root'): void {
    this.#openssl('ca', '-config', this.file(`${issuer}.cnf`), '-revoke', file);
  }

  /** A CRL in PEM with the next number. @param options  of `openssl ca`, e.g. when it ends */
  crl(issuer = 'root', ...options: string[]): string {
    const life = options.length > 0 ? options : ['-crldays', '5'];
    return this.#openssl('ca', '-config', this.file(`${issuer}.cnf`), '-gencrl', ...life);
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  /** Replaces a file as operators do, by a rename. */
  write(name: string, content: string): string {
    writeFileSync(`${this.file(name)}.new`, content);
    execFileSync('mv', [`${this.file(name)}.new`, this.file(name)]);
    return this.file(name);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }

  #issue(name: string, subject: string, extensions: string, issuer: string, validity: readonly string[]): void {
    writeFileSync(this.file(`${name}.ext`), extensions);
    this.#openssl('req', '-new', ...curve, '-keyout', this.file(`${name}.key`), '-out', this.file(`${name}.csr`), '-subj', subject); // prettier-ignore
    this.#openssl('ca', '-batch', '-notext', '-preserveDN', '-config', this.file(`${issuer}.cnf`), '-in', this.file(`${name}.csr`), '-out', this.file(`${name}.pem`), '-extfile', this.file(`${name}.ext`), ...validity); // prettier-ignore
  }

  #database(name: string): void {
    writeFileSync(this.file(`${name}.index`), '');
    writeFileSync(this.file(`${name}.crlnumber`), '1000\n');
    writeFileSync(
      this.file(`${name}.cnf`),
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${this.file(`${name}.index`)}\nnew_certs_dir=${this.directory}\n` +
        `certificate=${this.file(`${name}.pem`)}\nprivate_key=${this.file(`${name}.key`)}\nrand_serial=yes\nunique_subject=no\n` +
        `crlnumber=${this.file(`${name}.crlnumber`)}\ndefault_md=sha256\ndefault_days=10\npolicy=any\ncrl_extensions=crl\n` +
        '[any]\ncommonName=supplied\norganizationName=optional\n[crl]\nauthorityKeyIdentifier=keyid\n',
    );
  }

  #openssl(...args: string[]): string {
    return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
