// A token agent without a token, for tests of what happens when an agent misbehaves. Spawned in place of the built one; each
// start takes the next line of the file `script` in STAND_IN_DIRECTORY (ok, crash, hang, exit, or an error code), and each
// `sign` does what its data says: echo, hang, crash, stop, silence, garbage, late MILLISECONDS, or an error code, optionally
// only while fewer than N agents were started: `crash <2`.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { HsmError } from '../../libs/hsm/dist/errors.js';
import { FrameSplitter, FrameWriter } from '../../libs/hsm/dist/agent/frame.js';
import { decodeRequest, writeAnswer, writeError } from '../../libs/hsm/dist/agent/message.js';

const directory = process.env.STAND_IN_DIRECTORY;
const file = (name) => join(directory, name);
const read = (name) => {
  try {
    return readFileSync(file(name), 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
};

appendFileSync(file('started'), `${process.pid}\n`);
const starts = read('started').length;
const onStart = read('script')[starts - 1] ?? 'ok';

const stream = new Socket({ fd: 3 });
const token = {
  label: 'stand-in',
  serial: String(starts),
  manufacturer: '',
  model: '',
  vendor: 'generic',
  mechanisms: [],
  pinWarnings: [],
};
const sleep = new Int32Array(new SharedArrayBuffer(4));

function send(write) {
  const writer = new FrameWriter();
  write(writer);
  stream.write(writer.frames);
}
const answerWith = (verb, id, answer) => send((writer) => writeAnswer(writer, verb, id, answer));

function act(what, requestId, answer) {
  const fail = (code, retryable = false) =>
    send((writer) => writeError(writer, requestId, new HsmError(code, 'as told', { retryable })));
  const [name, argument = ''] = what.split(' ');
  if (argument.startsWith('<') && starts >= Number(argument.slice(1))) return answer();
  if (name === 'hang') return undefined;
  if (name === 'crash') {
    process.stderr.write('stand-in: crashing as told\n');
    return process.kill(process.pid, 'SIGSEGV');
  }
  if (name === 'exit') return process.exit(7);
  if (name === 'stop') return process.kill(process.pid, 'SIGSTOP');
  if (name === 'silence') return Atomics.wait(sleep, 0, 0);
  if (name === 'garbage') return stream.write(Buffer.alloc(64, 0xff));
  if (name === 'late') return setTimeout(answer, Number(argument));
  if (name === 'lose') {
    fail('ERR_HSM_UNAVAILABLE', true);
    return setTimeout(() => process.exit(1), 20);
  }
  if (name.startsWith('ERR_')) return fail(name);
  return answer();
}

const handlers = {
  hello: (request, id) => {
    writeFileSync(file(`hello-${starts}`), JSON.stringify({ request, env: process.env, argv: process.execArgv }));
    act(onStart, id, () => answerWith('hello', id, token));
  },
  ping: (_request, id) => answerWith('ping', id, {}),
  cancel: (request, id) => {
    appendFileSync(file('cancelled'), `${request.requestId}\n`);
    answerWith('cancel', id, {});
  },
  sign: ({ data }, id) => {
    const answer = () => answerWith('sign', id, { signature: Buffer.from(data) });
    act(Buffer.from(data).toString(), id, answer);
  },
  mac: ({ data }, id) => answerWith('mac', id, { mac: Buffer.from(data) }),
  generateKey: (key, id) => {
    const made = () => appendFileSync(file('keys'), `${JSON.stringify(key)}\n`);
    if (key.label.startsWith('made')) made();
    act(key.label.replace(/^made-/, ''), id, () => answerWith('generateKey', id, key));
  },
  destroyKey: (_request, id) => act('crash', id),
  findKeys: (selector, id) => {
    const keys = read('keys').map((line) => JSON.parse(line));
    answerWith(
      'findKeys',
      id,
      keys.filter((key) => selector.id === undefined || key.id === selector.id),
    );
  },
};

const splitter = new FrameSplitter();
stream.on('data', (chunk) => {
  for (const body of splitter.push(chunk)) {
    const { verb, requestId, attempt, request } = decodeRequest(body);
    appendFileSync(file('verbs'), `${verb}\n`);
    appendFileSync(file('attempts'), `${verb} ${attempt}\n`);
    handlers[verb]?.(request, requestId);
  }
});
stream.on('end', () => process.exit(0));
stream.on('error', () => process.exit(0));
