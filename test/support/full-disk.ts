import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of a few pages in memory, with no room left. */
export class FullDisk {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-full-'));

  /** Mounting takes a right that even root lacks in some containers. */
  static get isPossible(): boolean {
    return process.platform === 'linux' && spawnSync('unshare', ['--mount', 'true']).status === 0;
  }

  constructor() {
    run('mount', '-t', 'tmpfs', '-o', 'size=64k', 'nest-hsm-full', this.directory);
  }

  /** Makes room again. */
  empty(): void {
    rmSync(join(this.directory, 'filling'));
  }

  /** Takes all the room that is left. */
  fill(): void {
    const file = openSync(join(this.directory, 'filling'), 'w');
    try {
      for (;;) writeSync(file, Buffer.alloc(1_024));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  remove(): void {
    run('umount', this.directory);
    rmdirSync(this.directory);
  }
}

function run(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: want it to succeed, got ${stderr}`);
}
