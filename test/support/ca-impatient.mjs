// The CA app with one change: a connection that takes nothing of its answer is cut off after MILLISECONDS.
import 'reflect-metadata';
import { start } from '../../dist/apps/ca/bootstrap.js';

const [configFile, milliseconds] = process.argv.slice(2);
await start(configFile, { stalledMilliseconds: Number(milliseconds) });
