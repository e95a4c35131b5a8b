// The CA app with one addition: kill -9 of its own process when it first reaches STEP, in its start or in a request (PHASE).
import 'reflect-metadata';
import { start } from '../../dist/apps/ca/bootstrap.js';

const [configFile, fatalStep, fatalPhase] = process.argv.slice(2);
let phase = 'start';

const step = (reached) => {
  if (reached === fatalStep && phase === fatalPhase) process.kill(process.pid, 'SIGKILL');
};
await start(configFile, { observer: { step } });
phase = 'request';
