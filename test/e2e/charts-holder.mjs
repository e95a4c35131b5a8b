// A process that reads the charts of the clinic it is asked for, and answers with their names or an error's code.
import { Chart, dataSource, tenants, token } from './charts-data-source.mjs';

await dataSource.initialize();
process.on('message', async (clinic) => {
  if (clinic === 'end') {
    await dataSource.destroy();
    await token.close();
    process.disconnect();
    return;
  }
  const find = () => dataSource.getRepository(Chart).findBy({ clinic });
  const answer = await tenants.run(clinic, find).then(
    (charts) => charts.map(({ name }) => name),
    ({ code }) => code,
  );
  process.send(answer);
});
process.send('ready');
