import type { Registry } from 'prom-client';
import type { HsmConfig } from '../config.js';

/** What `Hsm.open` takes but for the name, which the module itself needs to know. */
export interface HsmModuleOptions extends Omit<HsmConfig, 'name'> {
  /** Where metrics are counted; prom-client's global registry when absent. */
  readonly registry?: Registry;
}

/** Known when the module is declared, not only when its options are. */
export interface HsmModuleExtras {
  /** The role of the token, e.g. `ca`: what `@InjectHsm` asks for. One module a name. */
  readonly name: string;
}
