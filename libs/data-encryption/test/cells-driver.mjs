// Drives the native addon in a process of its own, which a sanitizer may watch, and in a worker thread of it; says what it saw.
import { randomBytes, randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import nodeGypBuild from 'node-gyp-build';

const addon = nodeGypBuild(fileURLToPath(new URL('..', import.meta.url)));
const header = Buffer.from('nhsmAQEAAAAAAAAAAAAAAAAAAAAA');
const tag = Buffer.from('AAAAAAAA');
const prefix = Buffer.from('column');

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const [inWorker] = await Promise.all([new Promise((resolve) => worker.once('message', resolve)), drive()]);
  // The environment of the worker ends with keys in it.
  await worker.terminate();
  process.send({ here: drive(), inWorker });
  process.disconnect();
} else parentPort.postMessage(drive());

function drive() {
  const key = new addon.CellKey(header, randomBytes(32));
  return {
    same: batches(key),
    indexed: indexes(),
    refused: changes(key),
    thrown: misuses(key),
    reentrant: reentrance(key),
    detached: detachment(key),
  };
}

/** Batches of many shapes, each read back. @returns how many came back as they were */
function batches(key) {
  let same = 0;
  for (let round = 0; round < 60; round++) {
    const columns = randomInt(1, 6);
    const rows = randomInt(0, 90);
    const keyTexts = randomInt(1, 4);
    const prefixes = Array.from({ length: columns }, () => randomBytes(randomInt(0, 200)));
    const rowKeys = Array.from({ length: rows * keyTexts }, () => randomText(randomInt(0, 60)));
    const areTexts = Uint8Array.from({ length: columns }, () => randomInt(2));
    const cells = Array.from({ length: rows * columns }, (_, index) => {
      if (randomInt(6) === 0) return null;
      const size = randomInt(20) === 0 ? randomInt(60_000) : randomInt(300);
      return areTexts[index % columns] === 1 ? randomText(size) : randomBytes(size);
    });
    const texts = addon.encryptCells(key, prefixes, rowKeys, keyTexts, cells);
    const back = addon.decryptCells([key], prefixes, areTexts, rowKeys, keyTexts, texts);
    const isSame = back.every((each, index) =>
      Buffer.isBuffer(each) ? each.equals(cells[index]) : each === cells[index],
    );
    if (isSame && back.length === cells.length) same++;
  }
  return same;
}

/** Texts that are no cells: cut, flipped, of other characters. @returns how many were refused of how many */
function changes(key) {
  const [cell] = addon.encryptCells(key, [prefix], ['7'], 1, ['x'.repeat(100)]);
  const changed = [];
  for (let at = 0; at < cell.length; at++) {
    changed.push(cell.slice(0, at), cell.slice(at + 1), `${cell.slice(0, at)}Ā${cell.slice(at + 1)}`);
    const digit = cell[at] === 'A' ? 'B' : 'A';
    changed.push(cell.slice(0, at) + digit + cell.slice(at + 1));
  }
  changed.push(7, {}, Symbol('x'), Buffer.from(cell), '🐎'.repeat(5_000));
  const refused = changed.filter(
    (each) => addon.decryptCells([key], [prefix], Uint8Array.of(1), ['7'], 1, [each]) === 0,
  );
  return changed.length - refused.length;
}

/** Texts of blind indexes, each made by a new key too. @returns how many were the same */
function indexes() {
  const secret = randomBytes(32);
  const key = new addon.IndexKey(tag, secret);
  let same = 0;
  for (let round = 0; round < 60; round++) {
    const size = randomInt(10) === 0 ? randomInt(60_000) : randomInt(300);
    const plaintext = round % 2 === 0 ? randomText(size) : randomBytes(size);
    const type = randomInt(256);
    const text = key.text(type, plaintext);
    if (text.length === 32 && text === new addon.IndexKey(tag, secret).text(type, Buffer.from(plaintext))) same++;
  }
  return same;
}

function misuses(key) {
  const one = Uint8Array.of(1);
  const indexKey = new addon.IndexKey(tag, randomBytes(32));
  const attempts = [
    () => new addon.CellKey(header, Buffer.alloc(31)),
    () => new addon.CellKey(),
    () => addon.encryptCells(),
    () => addon.encryptCells({}, [prefix], ['7'], 1, ['x']),
    () => addon.encryptCells(Object.create(Object.getPrototypeOf(key)), [prefix], ['7'], 1, ['x']),
    () => addon.encryptCells(key, [prefix], ['7'], 1, ['x', 'y']),
    () => addon.encryptCells(key, [prefix], ['7'], 2, ['x']),
    () => addon.encryptCells(key, [prefix], [7], 1, ['x']),
    () => addon.encryptCells(key, [prefix], ['7'], 1, [7]),
    () => addon.decryptCells([key, {}], [prefix, prefix], one, ['7'], 1, ['x']),
    () => addon.decryptCells([key], [], one, ['7'], 1, ['x']),
    () => addon.decryptCells([key], [prefix], new Uint8Array(0), ['7'], 1, []),
    () => new addon.IndexKey(tag, Buffer.alloc(31)),
    () => new addon.IndexKey(),
    () => indexKey.text(),
    () => indexKey.text(1, 7),
    () => indexKey.text.call(key, 1, 'x'),
    () => Object.create(Object.getPrototypeOf(indexKey)).text(1, 'x'),
  ];
  return attempts.map((attempt) => {
    try {
      attempt();
      return 'nothing';
    } catch (error) {
      return error.name;
    }
  });
}

/** An array whose element is a getter runs JavaScript in the middle of a batch, which uses the same key and then throws. */
function reentrance(key) {
  const cells = ['a', 'b', 'c'];
  Object.defineProperty(cells, 1, {
    get() {
      addon.encryptCells(key, [prefix], ['8'], 1, ['inner']);
      throw new RangeError('from within');
    },
  });
  try {
    addon.encryptCells(key, [prefix], ['1', '2', '3'], 1, cells);
    return 'nothing';
  } catch (error) {
    return error.message;
  }
}

/** A getter among the arguments takes away the memory of another argument. */
function detachment(key) {
  const [cell] = addon.encryptCells(key, [prefix], ['1'], 1, ['whole']);
  const areTexts = Uint8Array.of(1);
  const prefixes = [prefix];
  Object.defineProperty(prefixes, 0, {
    get() {
      areTexts.buffer.transfer(1 << 20);
      return prefix;
    },
  });
  return addon.decryptCells([key], prefixes, areTexts, ['1'], 1, [cell])[0];
}

function randomText(size) {
  const letters = ['a', 'Z', '0', ' ', 'é', 'Ł', '漢', '🐎'];
  const ascii = randomInt(2) === 0;
  return Array.from({ length: size }, () => letters[randomInt(ascii ? 4 : letters.length)]).join('');
}
