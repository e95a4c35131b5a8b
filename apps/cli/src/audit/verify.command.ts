import { readAnchor, verifyTrail } from '@nest-hsm/audit';
import { Option, SubCommand } from 'nest-commander';
import { print } from '../hsm.command.js';
import { reportText } from './report-text.js';
import { TrailCommand, type TrailCommandOptions } from './trail.command.js';

interface VerifyCommandOptions extends TrailCommandOptions {
  readonly checkpoints?: string;
  readonly anchor?: string;
}

@SubCommand({
  name: 'verify',
  arguments: '<directory...>',
  argsDescription: { directory: 'where the trail is, or was moved to' },
  description:
    'Finds every record that was removed, changed, moved or inserted up to the last checkpoint, and says up to where that is proven. Offline. Ends with 1 unless the trail is intact and, with --anchor, anchored',
})
export class AuditVerifyCommand extends TrailCommand {
  @Option({ flags: '--checkpoints <file>', description: "the trail's checkpoints" })
  parseCheckpoints(value: string): string {
    return value;
  }

  @Option({
    flags: '--anchor <file>',
    description: 'the pinned public key (PEM) and the last checkpoint that is known off the host',
  })
  parseAnchor(value: string): string {
    return value;
  }

  async run(directories: string[], options: VerifyCommandOptions): Promise<void> {
    const anchor = options.anchor === undefined ? undefined : await readAnchor(options.anchor);
    const report = await verifyTrail({ directories, checkpointFile: options.checkpoints, anchor });
    print(report, reportText(report), options);
    const isProven = report.isIntact && report.chains.length > 0 && (anchor === undefined || report.isAnchored);
    if (!isProven) process.exitCode = 1;
  }
}
