import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** curl, which trusts one root and has a directory for files. */
export class Curl {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-curl-'));
  readonly #trust = this.file('root.pem', '');

  constructor(rootPem: string) {
    writeFileSync(this.#trust, rootPem);
  }

  file(name: string, content: string | Uint8Array): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  /** @returns its standard output @throws with its standard error when it fails */
  async run(...args: readonly string[]): Promise<string> {
    const common = ['--silent', '--show-error', '--cacert', this.#trust, '--max-time', '30'];
    const { stdout } = await promisify(execFile)('curl', [...common, ...args], { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}
