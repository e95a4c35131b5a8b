// An application that holds a token: opens the Hsm that its argument describes, says so, and waits to be killed.
import { Hsm } from '@nest-hsm/hsm';

const hsm = await Hsm.open(JSON.parse(process.argv[2]));
process.stdout.write(`${hsm.members[0].token.label}\n`);
process.stdin.resume();
process.stdin.on('data', () => void use().catch(() => undefined));

async function use() {
  const key = await hsm.findKey({ label: 'ec' });
  await hsm.sign(key, 'ecdsa-sha256', Buffer.of(1));
}
