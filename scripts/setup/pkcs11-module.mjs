import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { Stop } from '../workspace/stop.mjs';

/** Where packages of SoftHSM2 put it. */
const usualPlaces = [
  '/usr/lib/softhsm/libsofthsm2.so', // Debian, Ubuntu, Alpine
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so', // Fedora, RHEL
  '/usr/lib64/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so', // macOS, Homebrew
  '/usr/local/lib/softhsm/libsofthsm2.so', // macOS on Intel; built from source
];

/**
 * The PKCS#11 module of the main job: `NEST_HSM_PKCS11_MODULE`, else SoftHSM2 where packages put it.
 * @returns its absolute path, or undefined when there is none
 * @throws {Stop} when the variable names nothing
 */
export function findPkcs11Module(environment = process.env, exists = existsSync) {
  const named = environment.NEST_HSM_PKCS11_MODULE;
  if (!named) return usualPlaces.find((place) => exists(place));
  if (isAbsolute(named) && exists(named)) return named;
  throw new Stop(
    `NEST_HSM_PKCS11_MODULE: want the absolute path of a PKCS#11 module, got "${named}", where there is none.`,
  );
}
