// Initialises one token: node initialise-token.mjs MODULE LABEL SO_PIN_FILE PIN_FILE
// A program of its own, because the module must find its configuration (SOFTHSM2_CONF) in the environment when it is
// loaded, and because softhsm2-util would take the PINs as arguments, which every user of the machine can read.
import { readFileSync } from 'node:fs';
import pkcs11js from 'pkcs11js';

const [module, label, soPinFile, pinFile] = process.argv.slice(2);
const soPin = readFileSync(soPinFile, 'utf8').trim();
const pin = readFileSync(pinFile, 'utf8').trim();

const pkcs11 = new pkcs11js.PKCS11();
try {
  pkcs11.load(module);
  pkcs11.C_Initialize();
  const uninitialised = pkcs11
    .C_GetSlotList(true)
    .find((slot) => (pkcs11.C_GetTokenInfo(slot).flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0);
  if (uninitialised === undefined) throw new Error('want a slot with an uninitialised token, got none');
  pkcs11.C_InitToken(uninitialised, soPin, label.padEnd(32));

  // SoftHSM gives an initialised token another slot: look for it by its label.
  pkcs11.C_Finalize();
  pkcs11.C_Initialize();
  const slot = pkcs11.C_GetSlotList(true).find((candidate) => pkcs11.C_GetTokenInfo(candidate).label.trim() === label);
  if (slot === undefined) throw new Error(`want token "${label}" after its initialisation, got none`);
  const session = pkcs11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  pkcs11.C_Login(session, pkcs11js.CKU_SO, soPin);
  pkcs11.C_InitPIN(session, pin);
  pkcs11.C_Logout(session);
  pkcs11.C_CloseSession(session);
  pkcs11.C_Finalize();
} catch (error) {
  console.error(`token "${label}": ${error.message}`);
  process.exitCode = 1;
}
