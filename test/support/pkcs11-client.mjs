// A bare PKCS#11 client, so that tests look at a token, and put keys on it, without the library under test.
// `pkcs11-client.mjs import|objects|destroy`; reads { module, label, pin, keys?, id?, class? } as JSON from stdin, writes JSON to stdout.
import { text } from 'node:stream/consumers';
import pkcs11js from 'pkcs11js';

const input = JSON.parse(await text(process.stdin));
const module = new pkcs11js.PKCS11();
module.load(input.module);
module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trim() === input.label);
const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
module.C_Login(session, pkcs11js.CKU_USER, input.pin);

const flags = [
  'TOKEN',
  'PRIVATE',
  'SENSITIVE',
  'EXTRACTABLE',
  'MODIFIABLE',
  'ENCRYPT',
  'DECRYPT',
  'SIGN',
  'SIGN_RECOVER',
  'VERIFY',
  'VERIFY_RECOVER',
  'WRAP',
  'UNWRAP',
  'DERIVE',
];

/** Attributes as the token reports them; `null` where it has none of that name, the error's name where it may not show it. */
function attribute(object, type) {
  try {
    return module.C_GetAttributeValue(session, object, [{ type }])[0].value;
  } catch (error) {
    if (error.message.includes('CKR_ATTRIBUTE_TYPE_INVALID')) return null;
    if (error.message.includes('CKR_ATTRIBUTE_SENSITIVE')) return error.message;
    throw error;
  }
}

function describe(object) {
  const description = {
    class: attribute(object, pkcs11js.CKA_CLASS).readUInt8(0),
    label: attribute(object, pkcs11js.CKA_LABEL).toString(),
    id: attribute(object, pkcs11js.CKA_ID).toString('hex'),
  };
  for (const flag of flags) {
    const value = attribute(object, pkcs11js[`CKA_${flag}`]);
    if (Buffer.isBuffer(value) && value.length === 1) description[flag] = value[0] === 1;
  }
  for (const secret of ['VALUE', 'PRIVATE_EXPONENT', 'PRIME_1']) {
    const value = attribute(object, pkcs11js[`CKA_${secret}`]);
    if (value !== null) description[secret] = Buffer.isBuffer(value) ? 'readable' : value;
  }
  return description;
}

const ckaCopyable = 0x171;

function ulongs(values) {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), 8 * index));
  return bytes;
}

const commands = {
  destroy() {
    module.C_FindObjectsInit(session, [
      { type: pkcs11js.CKA_ID, value: Buffer.from(input.id, 'hex') },
      { type: pkcs11js.CKA_CLASS, value: input.class },
    ]);
    const found = module.C_FindObjects(session, 100);
    module.C_FindObjectsFinal(session);
    for (const object of found) module.C_DestroyObject(session, object);
    return found.length;
  },
  objects() {
    module.C_FindObjectsInit(session, []);
    const found = module.C_FindObjects(session, 10_000);
    module.C_FindObjectsFinal(session);
    return found.flatMap((object) => {
      try {
        return [describe(object)];
      } catch (error) {
        // Another process has destroyed it since it was found.
        if (error.message.includes('CKR_OBJECT_HANDLE_INVALID')) return [];
        throw error;
      }
    });
  },
  import() {
    for (const { id, label, type, value, usage, mechanisms } of input.keys) {
      const granted = new Set(usage);
      module.C_CreateObject(session, [
        { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
        { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js[type] },
        { type: pkcs11js.CKA_TOKEN, value: true },
        { type: pkcs11js.CKA_PRIVATE, value: true },
        { type: pkcs11js.CKA_SENSITIVE, value: true },
        { type: pkcs11js.CKA_EXTRACTABLE, value: false },
        { type: pkcs11js.CKA_MODIFIABLE, value: false },
        { type: pkcs11js.CKA_ID, value: Buffer.from(id, 'hex') },
        { type: pkcs11js.CKA_LABEL, value: label },
        ...['ENCRYPT', 'DECRYPT', 'SIGN', 'VERIFY', 'WRAP', 'UNWRAP', 'DERIVE'].map((flag) => ({
          type: pkcs11js[`CKA_${flag}`],
          value: granted.has(flag),
        })),
        { type: pkcs11js.CKA_ALLOWED_MECHANISMS, value: ulongs(mechanisms.map((name) => pkcs11js[name])) },
        { type: ckaCopyable, value: false },
        { type: pkcs11js.CKA_VALUE, value: Buffer.from(value, 'hex') },
      ]);
    }
    return input.keys.length;
  },
};

process.stdout.write(JSON.stringify(commands[process.argv[2]]()));
module.C_Finalize();
