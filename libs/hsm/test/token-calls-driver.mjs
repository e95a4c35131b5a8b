// Drives the built addon on a token, in a process of its own, and answers with what happened: forked with
// `token-calls-driver.mjs calls|exit|freezes MODULE LABEL PIN`. The parent steers the token: it gets `{ steer: [method, …arguments] }`
// and answers when that is done. As a worker thread it makes one call that its end will find on the token.
import { constants, createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { ck, Native } from '../dist/agent/child/pkcs11/native.js';
import { copyOf, TokenCalls } from '../dist/agent/child/pkcs11/token-calls.js';

const ecdsa = { mechanism: ck.CKM_ECDSA };
const digest = randomBytes(32);

if (isMainThread) {
  const [what, module, label, pin] = process.argv.slice(2);
  const token = await openToken(module, label, Buffer.from(pin));
  const report = await { calls: makeCalls, exit: exitWithCallUnderWay, freezes: freezeSome }[what](token, module);
  process.send({ report }, () => process.disconnect());
} else {
  const { module, session, key } = workerData;
  const calls = new TokenCalls(module, (returnValue) => new Error(String(returnValue)));
  void calls.make('sign', session, ecdsa, key, digest, 64, copyOf);
  process.nextTick(() => parentPort.postMessage('begun'));
}

async function openToken(module, label, pin) {
  const native = new Native(module);
  const slot = native.slots().find((each) => native.slotContent(each).label === label);
  const sessions = Array.from({ length: 16 }, () => native.openSession(slot));
  native.login(sessions[0], pin);
  for (const operation of ['sign', 'encrypt', 'decrypt']) {
    const make = native[operation];
    native[operation] = (...terms) => make(...terms, copyOf);
  }
  const [session] = sessions;
  const ofSession = { type: ck.CKA_TOKEN, value: false };
  const p256 = { type: ck.CKA_EC_PARAMS, value: Buffer.from('06082a8648ce3d030107', 'hex') };
  const signs = [ofSession, { type: ck.CKA_SIGN, value: true }];
  const ec = await native.generateKeyPair(session, { mechanism: ck.CKM_EC_KEY_PAIR_GEN }, [ofSession, p256], signs);
  const rsaTemplate = [
    ofSession,
    { type: ck.CKA_MODULUS_BITS, value: 2048 },
    { type: ck.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
  ];
  const rsa = await native.generateKeyPair(session, { mechanism: ck.CKM_RSA_PKCS_KEY_PAIR_GEN }, rsaTemplate, signs);
  const aes = await native.generateKey(session, { mechanism: ck.CKM_AES_KEY_GEN }, [
    ofSession,
    { type: ck.CKA_VALUE_LEN, value: 32 },
    { type: ck.CKA_ENCRYPT, value: true },
    { type: ck.CKA_DECRYPT, value: true },
  ]);
  return { native, sessions, ec, rsa, aes };
}

async function makeCalls(token, module) {
  const { native } = token;
  const report = {
    verified: await signALot(token),
    pss: await signWithPss(token),
    decrypted: await encryptAndDecrypt(token),
    faults: await provokeFaults(token),
    refused: await askWrongly(token),
    frozen: await freeze(token),
    worker: await endWorkerWithCallUnderWay(token, module),
  };
  native.finalize();
  return report;
}

/** @returns how many of 480 signatures, made on all sessions at once, verify */
async function signALot({ native, sessions, ec }) {
  const [point] = native.attributes(sessions[0], ec.publicKey, [ck.CKA_EC_POINT]);
  // An OCTET STRING (2 bytes of head) of 04 ‖ x ‖ y.
  const [x, y] = [point.subarray(3, 35), point.subarray(35)].map((half) => half.toString('base64url'));
  const publicKey = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
  const signed = await Promise.all(
    sessions.map(async (session) => {
      let good = 0;
      for (let turn = 0; turn < 30; turn++) {
        const message = randomBytes(100);
        const hash = createHash('sha256').update(message).digest();
        const signature = await native.sign(session, ecdsa, ec.privateKey, hash, 64);
        if (verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) good++;
      }
      return good;
    }),
  );
  return signed.reduce((sum, good) => sum + good, 0);
}

async function signWithPss({ native, sessions: [session], rsa }) {
  const [n, e] = native
    .attributes(session, rsa.publicKey, [ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT])
    .map((number) => number.toString('base64url'));
  const key = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
  const message = randomBytes(100);
  const parameter = { hashAlg: ck.CKM_SHA256, mgf: ck.CKG_MGF1_SHA256, saltBytes: 32 };
  const mechanism = { mechanism: ck.CKM_RSA_PKCS_PSS, parameter };
  const hash = createHash('sha256').update(message).digest();
  const signature = await native.sign(session, mechanism, rsa.privateKey, hash, 256);
  return verify('sha256', message, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature);
}

/** @returns for each length whether what was encrypted came back */
async function encryptAndDecrypt({ native, sessions: [session], aes }) {
  const results = [];
  for (const [bytes, aadBytes] of [
    [0, 0],
    [1, 5],
    [32, 64],
    [16_384, 4_096],
  ]) {
    const [data, aad, nonce] = [bytes, aadBytes, 12].map((length) => randomBytes(length));
    const mechanism = { mechanism: ck.CKM_AES_GCM, parameter: { nonce, aad, tagBits: 128 } };
    const encrypted = await native.encrypt(session, mechanism, aes, data, bytes + 16);
    const back = await native.decrypt(session, mechanism, aes, encrypted, bytes + 16);
    results.push(encrypted.length === bytes + 16 && back.equals(data));
  }
  return results;
}

/** @returns what the token said of each: `C_Function 0xCK_RV` */
async function provokeFaults({ native, sessions, ec, aes }) {
  const nothing = Buffer.alloc(8, 0x7f);
  const gcm = { mechanism: ck.CKM_AES_GCM, parameter: { nonce: randomBytes(12), aad: digest, tagBits: 128 } };
  const attempts = [
    () => native.sign(nothing, ecdsa, ec.privateKey, digest, 64),
    () => native.sign(sessions[1], ecdsa, nothing, digest, 64),
    () => native.sign(sessions[2], { mechanism: 0x80001234 }, ec.privateKey, digest, 64),
    () => native.sign(sessions[3], ecdsa, ec.privateKey, digest, 8),
    () => native.decrypt(sessions[4], gcm, aes, randomBytes(48), 48),
  ];
  const said = [];
  for (const attempt of attempts) {
    said.push(
      await attempt().then(
        () => 'CKR_OK',
        (error) => `${error.pkcs11Function} 0x${error.returnValue.toString(16)}`,
      ),
    );
  }
  // Who saw a session fail closes it; one that was closed is refused, not crashed into.
  for (const session of sessions.splice(3, 2)) {
    native.closeSession(session);
    said.push(await native.sign(session, ecdsa, ec.privateKey, digest, 64).catch(({ returnValue }) => returnValue));
  }
  return said;
}

/** @returns for each call with arguments of the wrong shape how it was refused */
function askWrongly({ native, sessions: [session], ec: { privateKey }, aes }) {
  const attempts = [
    () => native.sign(Buffer.alloc(3), ecdsa, privateKey, digest, 64),
    () => native.sign(session, ecdsa, undefined, digest, 64),
    () => native.sign(session, { mechanism: 'CKM_ECDSA' }, privateKey, digest, 64),
    () => native.sign(session, ecdsa, privateKey, 'text', 64),
    () => native.sign(session, ecdsa, privateKey, new Float64Array(4), 64),
    () => native.sign(session, ecdsa, privateKey, digest, 2 ** 30),
    () => native.sign(session, { ...ecdsa, parameter: {} }, privateKey, digest, 64),
    () => native.encrypt(session, { mechanism: ck.CKM_AES_GCM, parameter: { nonce: 'none' } }, aes, digest, 64),
  ];
  return Promise.all(
    attempts.map((attempt) =>
      attempt().then(
        () => 'accepted',
        ({ name }) => name,
      ),
    ),
  );
}

/** A token that freezes in C_SignInit holds up neither the event loop nor what it still does. */
async function freeze({ native, sessions, ec, aes }) {
  await steer('freeze', 'C_SignInit');
  const frozen = sessions.slice(0, 8).map((session) => native.sign(session, ecdsa, ec.privateKey, digest, 64));
  const mechanism = { mechanism: ck.CKM_AES_GCM, parameter: { nonce: randomBytes(12), aad: digest, tagBits: 128 } };
  const encrypted = await native.encrypt(sessions[8], mechanism, aes, digest, 48);
  let closing = 'closed';
  try {
    native.finalize();
  } catch ({ message }) {
    closing = message;
  }
  await steer('heal', 'C_SignInit');
  const signatures = await Promise.all(frozen);
  return { encrypted: encrypted.length, closing, signatures: signatures.map(({ length }) => length) };
}

/**
 * Of the short calls to a token that computes, some hang: fewer than, as many as and more than the threads that such calls are
 * given. Whatever else there is to do is done all the same.
 */
async function freezeSome(token) {
  const { native, sessions, ec, aes } = token;
  // So that it is known how long calls take.
  await signALot(token);
  const asked = process.env.NEST_HSM_PROCESSORS_ASKED;
  const freezes = [];
  for (const frozen of [1, 4, 8]) {
    await steer('freeze', 'C_SignInit', { times: frozen });
    const hung = sessions.slice(0, frozen).map((session) => native.sign(session, ecdsa, ec.privateKey, digest, 64));
    const mechanism = { mechanism: ck.CKM_AES_GCM, parameter: { nonce: randomBytes(12), aad: digest, tagBits: 128 } };
    let encrypted = 0;
    const encryptSome = async (session) => {
      for (let turn = 0; turn < 20; turn++) {
        await native.encrypt(session, mechanism, aes, digest, 48);
        encrypted++;
      }
    };
    await Promise.all(sessions.slice(8).map(encryptSome));
    await steer('heal', 'C_SignInit');
    freezes.push({ frozen, encrypted, signed: (await Promise.all(hung)).length });
  }
  native.finalize();
  return { asked, freezes };
}

/** The environment of a call ends while the token has it; the answer must find nobody, and harm nobody. */
async function endWorkerWithCallUnderWay({ native, sessions, ec }, module) {
  await steer('freeze', 'C_Sign', { times: 1 });
  const data = { module, session: sessions[0], key: ec.privateKey };
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  await new Promise((resolve) => worker.once('message', resolve));
  await pause(50);
  await worker.terminate();
  await steer('heal', 'C_Sign');
  await pause(50);
  return (await native.sign(sessions[1], ecdsa, ec.privateKey, digest, 64)).length;
}

async function exitWithCallUnderWay({ native, sessions, ec }) {
  await steer('freeze', 'C_Sign');
  void native.sign(sessions[0], ecdsa, ec.privateKey, digest, 64);
  await pause(50);
  process.exit(7);
}

function steer(...how) {
  process.send({ steer: how });
  return new Promise((resolve) => process.once('message', resolve));
}
