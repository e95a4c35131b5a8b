// A PKCS#11 client in a process of its own, for the virtual HSM's spec: reads one JSON command a line
// ({ "do": "start" | "sign" | "random" | "finalize" | "slots", … }) and answers with one JSON line each.
import pkcs11js from 'pkcs11js';
import { createInterface } from 'node:readline';

const module = new pkcs11js.PKCS11();
const secp256r1 = Buffer.from('06082a8648ce3d030107', 'hex');
let loaded = false;
let session;
let key;

const commands = {
  start({ path, label, pin }) {
    if (!loaded) module.load(path);
    loaded = true;
    module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
    const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trim() === label);
    session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    module.C_Login(session, pkcs11js.CKU_USER, pin);
    const mechanism = { mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN };
    const pair = module.C_GenerateKeyPair(
      session,
      mechanism,
      [{ type: pkcs11js.CKA_EC_PARAMS, value: secp256r1 }],
      [{ type: pkcs11js.CKA_SIGN, value: true }],
    );
    key = pair.privateKey;
    const point = module.C_GetAttributeValue(session, pair.publicKey, [{ type: pkcs11js.CKA_EC_POINT }])[0].value;
    return { point: point.toString('hex') };
  },
  async sign({ digest }) {
    module.C_SignInit(session, { mechanism: pkcs11js.CKM_ECDSA }, key);
    const signature = await module.C_SignAsync(session, Buffer.from(digest, 'hex'), Buffer.alloc(64));
    return { signature: signature.toString('hex') };
  },
  random: () => ({ random: module.C_GenerateRandom(session, Buffer.alloc(16)).toString('hex') }),
  finalize: () => (module.C_Finalize(), {}),
  slots: () => (
    module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK }),
    { slots: module.C_GetSlotList(true).length }
  ),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = await commands[command.do](command);
  } catch (error) {
    answer = { error: error.message, function: error.method, code: error.code };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
