import { admittedClass } from './traffic-class-of.js';

test.each([
  ['sign', 'interactive', 'interactive'],
  ['sign', 'management', 'issuance'],
  ['sign', 'data', 'issuance'],
  ['decrypt', 'interactive', 'data'],
  ['generateKey', 'interactive', 'management'],
  ['random', 'management', 'data'],
] as const)('%s that is said to be %s is %s', (verb, said, admitted) => {
  expect(admittedClass(verb, said)).toBe(admitted);
});
