import { CeremonyScene } from '../support/ceremony-kills.js';

let scene: CeremonyScene;
beforeAll(async () => {
  scene = await CeremonyScene.set();
});
afterAll(() => scene?.remove());

/** One of each protocol: the others are in the full tier. */
test.each([
  ['resync', { on: 'member', function: 'C_UnwrapKey', after: 1 }],
  ['restore', { on: 'recovery', function: 'C_WrapKey', after: 1 }],
] as const)('%s, killed -9 with its agents, leaves nothing loose and is held again', async (protocol, step) => {
  const config = await scene.prepare(protocol);
  await scene.interrupt(protocol, config, step, true);
  const outcomes = await scene.hold(protocol, config);
  expect(outcomes.map(({ error }) => error)).toEqual(outcomes.map(() => undefined));
  expect(outcomes.every(({ members }) => members.includes('joining'))).toBe(true);
  expect(scene.loose()).toEqual([]);
  expect(scene.leftovers(config)).toEqual([]);
});
