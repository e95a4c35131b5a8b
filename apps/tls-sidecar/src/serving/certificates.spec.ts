import { jest } from '@jest/globals';
import type { Hsm } from '@nest-hsm/hsm';
import { type Credential, CredentialKeeper } from '@nest-hsm/tls-offload';
import { configSchema } from '../config.js';
import { Certificates } from './certificates.js';

const names = ['web', 'alice', 'bob'];
/** Of the keepers that were stopped. */
const stopped: string[] = [];

beforeEach(() => {
  // They begin in the order of the configuration.
  const starting = [...names];
  jest.spyOn(CredentialKeeper, 'start').mockImplementation(() => {
    const name = starting.shift() ?? 'none more';
    const keeper = {
      current: { label: name } as unknown as Credential,
      stop: () => Promise.resolve(void stopped.push(name)),
    };
    return Promise.resolve(keeper as unknown as CredentialKeeper);
  });
});
afterEach(() => jest.restoreAllMocks());

function configured(shown: readonly string[]): ReturnType<typeof configSchema.parse> {
  const file = (keyLabel: string): object => ({ file: { certificateFile: `/${keyLabel}.pem`, keyLabel } });
  return configSchema.parse({
    hsm: { name: 'tls', members: [{ name: 'a', socket: '/run/agent.sock' }] },
    listeners: [
      {
        listen: { port: 0 },
        l7: { upstreams: [{ url: 'https://127.0.0.1:1' }], upstreamTls: { certificates: shown } },
      },
    ],
    certificates: ['web', ...shown].map(file),
    admin: { port: 0 },
  });
}

it('keeps what upstreams are shown fresh for as long as somebody shows it, and nothing else', async () => {
  const how = { patience: 'once', signal: new AbortController().signal, replaced: () => undefined } as const;
  const [config, other] = [configured(['alice', 'bob']), configured(['bob'])];
  const before = await Certificates.none.next(config, {} as Hsm, how);
  expect(before.of(config.listeners[0])).toEqual({
    served: { credentials: [{ label: 'web' }], serverNames: {} },
    shown: [{ label: 'alice' }, { label: 'bob' }],
  });
  const after = await before.next(other, {} as Hsm, how);
  let leave: (() => void) | undefined;
  const left = new Promise<void>((resolve) => (leave = resolve));
  await before.stopUnless(after, left);
  expect(stopped).toEqual([]);
  leave?.();
  await left;
  expect(stopped).toEqual(['alice']);
  await after.stopUnless(Certificates.none);
  expect(stopped.toSorted()).toEqual(names.toSorted());
});
