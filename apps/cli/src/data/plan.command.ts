import type { PlaintextPlan } from '@nest-hsm/data-encryption';
import { SubCommand } from 'nest-commander';
import { columns, print } from '../hsm.command.js';
import { DataCommand, type DataCommandOptions } from './data.command.js';

@SubCommand({
  name: 'plan',
  description: 'Columns on their way between plaintext and cells: how many rows have which, and what comes next',
})
export class DataPlanCommand extends DataCommand {
  async run(_: string[], options: DataCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle) => {
      const plans = await lifecycle.plan();
      const rows = plans.map(({ column, phase, plaintextColumn, cellColumn, ...counts }) => [
        column,
        phase,
        `${plaintextColumn} → ${cellColumn}`,
        ...[counts.both, counts.plaintextOnly, counts.cellOnly, counts.withoutCell].map((count) =>
          count.toLocaleString('en'),
        ),
      ]);
      const head = ['column', 'phase', 'columns', 'both', 'plaintext only', 'cell only', 'without cell'];
      const text =
        plans.length === 0
          ? ['no column is declared with plaintext beside its cells']
          : [...columns([head, ...rows]), ...plans.map((plan) => `${plan.column}: ${nextOf(plan)}`)];
      print(plans, text, options);
    });
  }
}

function nextOf({ phase, plaintextOnly, cellOnly, both, withoutCell }: PlaintextPlan): string {
  if (phase === 'dual-write') {
    if (withoutCell > 0)
      return 'once no older version of the application runs, nest-hsm data backfill gives the rest their cells';
    return 'nest-hsm data verify compares them; then deploy phase switched (or leave: plain @Column again)';
  }
  if (phase === 'switched') {
    if (cellOnly > 0)
      return 'to go on, deploy phase contract; to leave, nest-hsm data backfill gives the rest their plaintext';
    return 'deploy phase contract, or go back to dual-write';
  }
  if (plaintextOnly + both > 0)
    return 'once no older version of the application runs, nest-hsm data contract erases the plaintext';
  return 'no plaintext is left: take plaintext out of @EncryptedColumn and let a migration drop the column';
}
