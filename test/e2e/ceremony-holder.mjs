// A process that holds one ceremony, or makes one backup, to be killed at it: ceremony-holder.mjs JSON { protocol, config, … }.
import { Hsm, readBackup, RecoveryToken } from '@nest-hsm/hsm';

const { protocol, config, recovery, file, signer, source } = JSON.parse(process.argv[2]);
const opened = async (of) => {
  const hsm = await Hsm.open(of);
  while (hsm.members.some(({ state }) => state === 'starting')) await new Promise((resolve) => setTimeout(resolve, 5));
  return hsm;
};
const hsm = await opened(config);
const protocols = {
  resync: async (token) => hsm.custody.prepareResync(token),
  restore: async (token) => hsm.custody.prepareRestore(await readBackup(file, signer), token),
  migrate: async (token) => {
    const from = await opened(source);
    const departure = await from.departure();
    await from.close();
    return hsm.custody.prepareArrival(departure, token);
  },
};
if (protocol === 'backup') await hsm.custody.createBackup(file);
else await (await protocols[protocol](await RecoveryToken.open(recovery))).carryOut();
