import { SubCommand } from 'nest-commander';
import { print } from '../hsm.command.js';
import { DataCommand, type DataCommandOptions } from './data.command.js';

@SubCommand({
  name: 'rewrap',
  description: 'Encrypts every data key under the newest version of the KEK (nest-hsm key rotate makes one)',
})
export class DataRewrapCommand extends DataCommand {
  async run(_: string[], options: DataCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle) => {
      const result = await lifecycle.rewrap();
      const { kekVersion, rewrapped, current } = result;
      print(
        result,
        [`${rewrapped} data keys encrypted under KEK ${kekVersion}, ${current} were under it before`],
        options,
      );
    });
  }
}
