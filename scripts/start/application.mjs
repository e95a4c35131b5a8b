import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { configFile, logFile, root } from '../workspace/paths.mjs';
import { Stop } from '../workspace/stop.mjs';

const endWithParent = fileURLToPath(new URL('./end-with-parent.mjs', import.meta.url));
const startMilliseconds = 120_000;

/**
 * One application as a process of its own, in a process group of its own: Ctrl-C reaches the supervisor alone, which then
 * ends the group, token agents included.
 */
export class Application {
  #child;
  #stopping = false;

  /** @param name  the folder under apps/, which also names its configuration and its log */
  constructor(name, title, { stopMilliseconds = 10_000 } = {}) {
    this.name = name;
    this.title = title;
    this.stopMilliseconds = stopMilliseconds;
    this.log = logFile(name);
  }

  /**
   * Starts the process and waits until its health page says that it serves.
   * @param onUnexpectedEnd  called once if it ends later without being asked to
   * @throws {Stop} with the last lines of its log when it ends, or does not serve in time
   */
  async start(healthUrl, onUnexpectedEnd) {
    mkdirSync(dirname(this.log), { recursive: true, mode: 0o700 });
    const log = openSync(this.log, 'w', 0o600);
    this.#child = spawn(
      process.execPath,
      ['--import', endWithParent, join(root, 'dist/apps', this.name, 'main.js'), '--config', configFile(this.name)],
      { cwd: root, detached: true, stdio: ['pipe', log, log], env: process.env },
    );
    closeSync(log);
    this.#child.stdin.on('error', () => {});
    this.exited = new Promise((resolve) =>
      this.#child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`)),
    );

    const deadline = AbortSignal.timeout(startMilliseconds);
    const ended = this.exited.then((how) => ({ how }));
    for (;;) {
      const outcome = await Promise.race([ended, serves(healthUrl, deadline)]);
      if (outcome === true) break;
      if (outcome.how) throw new Stop(this.#obituary(outcome.how));
      if (deadline.aborted)
        throw new Stop(
          `${this.title}: want ${healthUrl} to answer within ${startMilliseconds / 1_000} s, got nothing.\n${this.#lastLines()}`,
        );
      await Promise.race([ended, sleep(50)]);
    }
    void this.exited.then((how) => {
      if (!this.#stopping) onUnexpectedEnd(new Stop(this.#obituary(how)));
    });
  }

  get pid() {
    return this.#child?.pid;
  }

  /** Asks the process to end, and makes it and its whole group end when it does not in time. */
  async stop() {
    if (this.#child?.pid === undefined) return;
    this.#stopping = true;
    this.#signal('SIGTERM');
    await Promise.race([this.exited, sleep(this.stopMilliseconds, undefined, { ref: false })]);
    this.#signal('SIGKILL');
    await this.exited;
  }

  /** Ends the process and its group without a word. */
  kill() {
    if (this.#child?.pid !== undefined) this.#signal('SIGKILL');
  }

  #signal(signal) {
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }

  #obituary(how) {
    return `${this.title}: ended by itself (${how}).\n${this.#lastLines()}`;
  }

  #lastLines() {
    const lines = existsSync(this.log) ? readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-12) : [];
    return [`Its last words, from ${relative(root, this.log)}:`, ...lines.map((text) => `    ${readable(text)}`)].join(
      '\n',
    );
  }
}

/** true, or an empty object while there is no answer yet. */
async function serves(url, deadline) {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([deadline, AbortSignal.timeout(2_000)]) });
    return response.ok || {};
  } catch {
    return {};
  }
}

/** Applications log one JSON object a line (pino); people read the message and, with an error, why. */
function readable(text) {
  try {
    const { msg, err } = JSON.parse(text);
    return [msg, err?.message].filter(Boolean).join(': ') || text;
  } catch {
    return text;
  }
}
