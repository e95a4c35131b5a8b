import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LogOutput } from './log-output.js';

const line = (number: number): string => `{"number":${number},"filling":"${'x'.repeat(200)}"}\n`;

interface Line {
  readonly number?: number;
  readonly linesLost?: number;
}

describe('the output of a log', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-log-'));
  const path = join(directory, 'pipe');
  let reader: number;
  let writer: Socket;

  beforeAll(() => {
    expect(spawnSync('mkfifo', [path]).status).toBe(0);
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  beforeEach(() => {
    // For both, so that neither end is missing in between.
    reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    writer = new Socket({ fd: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), readable: false });
  });
  afterEach(() => {
    writer.destroy();
    closeSync(reader);
  });

  /** @returns the lines up to one that `isLast`, and what came with it */
  async function readUntil(isLast: (line: Line) => boolean): Promise<Line[]> {
    const chunk = Buffer.alloc(65_536);
    const lines: Line[] = [];
    let rest = '';
    while (!lines.some(isLast)) {
      try {
        const whole = (rest + chunk.toString('utf8', 0, readSync(reader, chunk))).split('\n');
        rest = whole.pop() ?? '';
        lines.push(...whole.map((each) => JSON.parse(each) as Line));
      } catch (error) {
        expect(error).toMatchObject({ code: 'EAGAIN' });
        await pause(2);
      }
    }
    return lines;
  }

  it('keeps 1 MiB while nobody reads, and says later how many lines it has not kept', async () => {
    const output = new LogOutput(writer);
    const count = 10_000;
    for (let number = 0; number < count; number++) output.write(line(number));
    const { linesLost } = output;
    // One megabyte of two, and what the kernel holds.
    expect((count - linesLost) * line(0).length).toBeGreaterThan(1 << 20);
    expect((count - linesLost) * line(0).length).toBeLessThan(2 << 20);

    const before = await readUntil(({ linesLost: told }) => told !== undefined);
    const told = before.findIndex(({ linesLost: lost }) => lost !== undefined);
    expect(before[told].linesLost).toBe(linesLost);
    output.write(line(count));
    const after = await readUntil(({ number }) => number === count);
    // In order, without a gap but the one that it tells of.
    const numbers = [...before, ...after].flatMap(({ number }) => number ?? []);
    expect(numbers).toEqual([...Array.from({ length: count - linesLost }, (_, index) => index), count]);
    expect(output.linesLost).toBe(linesLost);
  });

  it('flushes what is read in time, and waits no longer', async () => {
    const output = new LogOutput(writer);
    await output.flush(60_000);
    for (let number = 0; number < 1_000; number++) output.write(line(number));
    await output.flush(1);
    let flushed = false;
    const flushing = output.flush(60_000).then(() => (flushed = true));
    await pause(1);
    expect(flushed).toBe(false);
    expect(await readUntil(({ number }) => number === 999)).toHaveLength(1_000);
    await flushing;
  });
});
