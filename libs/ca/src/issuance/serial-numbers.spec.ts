import { randomBytes } from 'node:crypto';
import { SerialNumbers } from './serial-numbers.js';

test('serials are 16 octets, positive, all different, and drawn from the token several at a time', async () => {
  let draws = 0;
  const random = (length: number): Promise<Buffer> => {
    draws += 1;
    return Promise.resolve(randomBytes(length));
  };
  const serials = new SerialNumbers({ random });
  const drawn = await Promise.all(Array.from({ length: 200 }, () => serials.next()));
  expect(new Set(drawn.map((serial) => serial.toString('hex'))).size).toBe(200);
  expect(drawn.every((serial) => serial.length === 16 && serial[0] >= 0x40 && serial[0] < 0x80)).toBe(true);
  expect(draws).toBeLessThan(201);
});

test('a generator that is stuck at its extremes still gives positive serials of full length', async () => {
  for (const octet of [0x00, 0xff]) {
    const serials = new SerialNumbers({ random: (length) => Promise.resolve(Buffer.alloc(length, octet)) });
    const serial = await serials.next();
    expect([serial.length, serial[0] >> 6]).toEqual([16, 1]);
  }
});
