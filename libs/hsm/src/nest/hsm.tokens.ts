import { Inject } from '@nestjs/common';

/** The provider of the Hsm that `HsmModule.forRoot({ name })` opens. */
export function hsmToken(name: string): symbol {
  return Symbol.for(`@nest-hsm/hsm:${name}`);
}

/** The provider of its health indicator. */
export function hsmHealthToken(name: string): symbol {
  return Symbol.for(`@nest-hsm/hsm:${name}:health`);
}

/** Injects the Hsm of that name. */
export function InjectHsm(name: string): ReturnType<typeof Inject> {
  return Inject(hsmToken(name));
}

/** Injects the HsmHealthIndicator of the Hsm of that name. */
export function InjectHsmHealth(name: string): ReturnType<typeof Inject> {
  return Inject(hsmHealthToken(name));
}
