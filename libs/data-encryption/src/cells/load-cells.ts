import type { Cells } from './cells.js';
import { javascriptCells } from './javascript-cells.js';
import { loadNativeCells } from './native-cells.js';

let loaded: Cells | undefined;

/** The implementation this process uses: the addon, or where it does not load Node's crypto, several times slower. */
export function cells(): Cells {
  return (loaded ??= load());
}

function load(): Cells {
  try {
    return loadNativeCells();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.emitWarning(`data encryption: want its native addon, got none (cells cost several times more): ${reason}`, {
      code: 'NEST_HSM_DATA_ADDON',
    });
    return javascriptCells;
  }
}
