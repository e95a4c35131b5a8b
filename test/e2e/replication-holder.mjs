// An application that replicates one key, to be killed at it: replication-holder.mjs JSON { config, keyring, recovery, key }.
import { parseHsmConfig } from '@nest-hsm/hsm';
import { Fleet } from '../../libs/hsm/dist/fleet/fleet.js';
import { fleetMembers } from '../../libs/hsm/dist/keyring/fleet-members.js';
import { Keyring } from '../../libs/hsm/dist/keyring/keyring.js';
import { Replication } from '../../libs/hsm/dist/keyring/replication.js';

const { config, keyring, recovery: encoded, key } = JSON.parse(process.argv[2]);
const fleet = await Fleet.start(parseHsmConfig(config));
while (fleet.members.some(({ state }) => state !== 'serving')) await new Promise((resolve) => setTimeout(resolve, 5));
const recovery = encoded.map(({ spki, algorithm }) => ({ spki: Buffer.from(spki, 'base64'), algorithm }));
const replication = new Replication(await Keyring.open(keyring), () => fleetMembers(fleet), {
  quorum: () => 2,
  recovery,
});
await replication.replicate(key);
