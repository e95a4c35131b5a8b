import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { start } from './bootstrap.js';
import { describeFault } from './faults.js';

const usage = 'usage: node main.js --config FILE\n';

try {
  const { values } = parseArgs({
    options: { config: { type: 'string', short: 'c' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true || values.config === undefined) {
    process.stderr.write(usage);
    process.exitCode = values.help === true ? 0 : 1;
  } else {
    await start(values.config);
  }
} catch (error) {
  process.stderr.write(describeFault(error));
  process.exit(1);
}
