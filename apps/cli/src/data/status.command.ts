import { SubCommand } from 'nest-commander';
import { columns, print } from '../hsm.command.js';
import { DataCommand, type DataCommandOptions } from './data.command.js';

@SubCommand({
  name: 'status',
  description: 'Data keys: which are in use, under which KEK, and how much they have encrypted',
})
export class DataStatusCommand extends DataCommand {
  async run(_: string[], options: DataCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle) => {
      const keys = await lifecycle.keys();
      const tables = await Promise.all(
        lifecycle.tableIds.map(async (tableId) => ({ tableId, reencryption: await lifecycle.reencryption(tableId) })),
      );
      const rows = keys.map(({ tableId, columnId, tenant, purpose, state, id, kekVersion, reservedMessages }) => [
        tableId,
        (purpose === 'index' ? `index of ${columnId}` : columnId === '' ? 'cells' : `cells of ${columnId}`) +
          (tenant === '' ? '' : ` for ${tenant}`),
        state,
        id,
        kekVersion,
        reservedMessages.toLocaleString('en'),
      ]);
      const underWay = tables.flatMap(({ tableId, reencryption: pass }) =>
        pass === undefined
          ? []
          : `${tableId}: being encrypted anew, pass ${pass.pass}, ${pass.rows} of ${pass.ofRows} rows`,
      );
      const head = ['table', 'of', 'state', 'data key', 'KEK', 'messages'];
      print({ keys, tables }, [...columns([head, ...rows]), ...underWay], options);
    });
  }
}
