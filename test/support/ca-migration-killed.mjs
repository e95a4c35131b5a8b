// Opens a CA's database, which migrates it, and is killed with -9 when it is about to send a certain statement for the second time:
// ca-migration-killed.mjs CONFIG STATEMENT.
import { openCaDatabase } from '@nest-hsm/ca';
import { DataSource } from 'typeorm';

const [config, statement] = process.argv.slice(2);
let sent = 0;
const { createQueryRunner } = DataSource.prototype;
DataSource.prototype.createQueryRunner = function (...mode) {
  const runner = createQueryRunner.apply(this, mode);
  const query = runner.query.bind(runner);
  runner.query = (text, ...rest) => {
    if (text.includes(statement) && (sent += 1) === 2) process.kill(process.pid, 'SIGKILL');
    return query(text, ...rest);
  };
  return runner;
};
const dataSource = await openCaDatabase(JSON.parse(config));
await dataSource.destroy();
