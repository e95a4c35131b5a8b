// A process that holds a CA's ceremony, and kills itself with -9 when it first reaches a step: ca-ceremony-holder.mjs JSON STEP.
import 'reflect-metadata';
import { caStores, holdCeremony, openCaDatabase } from '@nest-hsm/ca';
import { Hsm } from '@nest-hsm/hsm';

const { hsm: config, database, ceremony } = JSON.parse(process.argv[2]);
const hsm = await Hsm.open(config);
while (hsm.members.some(({ state }) => state === 'starting')) await new Promise((resolve) => setTimeout(resolve, 5));
const dataSource = await openCaDatabase(database);
const step = (reached) => {
  if (reached === process.argv[3]) process.kill(process.pid, 'SIGKILL');
};
await holdCeremony({ token: hsm, ...caStores(dataSource), ...ceremony, observer: { step } });
await dataSource.destroy();
await hsm.close();
