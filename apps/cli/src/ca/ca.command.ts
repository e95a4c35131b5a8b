import { CaAdministration, caStores, openCaDatabase } from '@nest-hsm/ca';
import type { Hsm } from '@nest-hsm/hsm';
import type { DataSource } from 'typeorm';
import { HsmCommand, type HsmCommandOptions } from '../hsm.command.js';
import { type CaFile, readCaFile } from './config.js';

export interface CaTools {
  readonly hsm: Hsm;
  readonly dataSource: DataSource;
  readonly file: CaFile;
  readonly administration: CaAdministration;
}

/** A command on a CA's own keys and certificates: its token and its database are opened for one piece of work. */
export abstract class CaToolCommand extends HsmCommand {
  protected async withCa<T>(options: HsmCommandOptions, work: (tools: CaTools) => Promise<T>): Promise<T> {
    const file = await readCaFile(options.config);
    return this.withHsm(options, (hsm) =>
      withDatabase(file, (dataSource) => {
        const administration = new CaAdministration({ token: hsm, ...caStores(dataSource), config: file.ca });
        return work({ hsm, dataSource, file, administration });
      }),
    );
  }
}

/** Opens a CA's database for one piece of work and closes it whatever happens. */
export async function withDatabase<T>({ database }: CaFile, work: (dataSource: DataSource) => Promise<T>): Promise<T> {
  const dataSource = await openCaDatabase(database);
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
