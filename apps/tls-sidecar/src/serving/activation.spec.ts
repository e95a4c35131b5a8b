import { takeActivatedSockets } from './activation.js';

describe('sockets of the service manager', () => {
  it('are found by name and by number, once', () => {
    const environment = { LISTEN_PID: '7', LISTEN_FDS: '3', LISTEN_FDNAMES: 'https:unknown:', OTHER: 'x' };
    expect(takeActivatedSockets(environment, 7)).toEqual({ '0': 3, '1': 4, '2': 5, https: 3, unknown: 4 });
    expect(environment).toEqual({ OTHER: 'x' });
  });

  it.each([
    ['of another process', { LISTEN_PID: '8', LISTEN_FDS: '1' }],
    ['that are none', {}],
    ['that are no number', { LISTEN_PID: '7', LISTEN_FDS: 'many' }],
  ])('%s are not taken', (_what, environment) => {
    expect(takeActivatedSockets(environment, 7)).toEqual({});
  });
});
