// An application that destroys one key, to be killed at it: destruction-holder.mjs JSON { config, label }.
import { Hsm } from '@nest-hsm/hsm';

const { config, label } = JSON.parse(process.argv[2]);
const hsm = await Hsm.open(config);
while (hsm.members.some(({ state }) => state !== 'serving')) await new Promise((resolve) => setTimeout(resolve, 5));
await hsm.destroyKey(await hsm.findKey({ label }), { deadlineMilliseconds: 60_000 });
