// A process that shares an agent with others: opens the Hsm that its argument describes, says so, and for each line `sign LABEL COUNT`
// makes that many signatures, eight at a time, verifies them and says `done`, or the code of what went wrong.
import { verify } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Hsm } from '@nest-hsm/hsm';

const hsm = await Hsm.open(JSON.parse(process.argv[2]));
const message = Buffer.from('a message');
process.stdout.write('open\n');
for await (const line of createInterface(process.stdin)) {
  const [, label, count] = line.split(' ');
  process.stdout.write(`${await sign(label, Number(count)).catch(({ code }) => code)}\n`);
}
await hsm.close();

async function sign(label, count) {
  const key = await hsm.findKey({ label });
  let left = count;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (left-- > 0) {
        const signature = await hsm.sign(key, 'ecdsa-sha256', message, { deadlineMilliseconds: 20_000 });
        if (!verify('sha256', message, key.publicKey, signature)) throw new Error('a wrong signature');
      }
    }),
  );
  return 'done';
}
