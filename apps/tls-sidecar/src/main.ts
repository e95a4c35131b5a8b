import 'reflect-metadata';
import cluster from 'node:cluster';
import { parseArgs } from 'node:util';
import { start, startWorker } from './bootstrap.js';
import { readConfig } from './config.js';
import { describeFault } from './faults.js';

const usage = `usage: node main.js --config FILE [--check]

  -c, --config FILE  the configuration, in YAML (docs/TLS-SIDECAR.md)
      --check        says what is wrong with it, with line and column, and starts nothing
`;

try {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', short: 'c' },
      check: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true || values.config === undefined) {
    process.stderr.write(usage);
    process.exitCode = values.help === true ? 0 : 1;
  } else if (values.check === true) {
    readConfig(values.config);
    process.stdout.write(`${values.config}: no faults\n`);
  } else if (cluster.isWorker) {
    await startWorker();
  } else {
    await start(values.config);
  }
} catch (error) {
  process.stderr.write(describeFault(error));
  process.exit(1);
}
