/** Sockets that a service manager opened and handed over (sd_listen_fds(3)): so a port below 1024 needs no privilege here. */
const firstDescriptor = 3;
/** Descriptors by name and by number from 0. */
export type ActivatedSockets = Readonly<Record<string, number>>;

/**
 * What was handed to this process. The variables are taken away, so that no child takes them for its own.
 * @param environment  changed: `process.env`
 */
export function takeActivatedSockets(environment: NodeJS.ProcessEnv, pid = process.pid): ActivatedSockets {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = environment;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  if (Number(LISTEN_PID) !== pid) return {};
  const names = LISTEN_FDNAMES.split(':');
  return Object.fromEntries(
    Array.from({ length: Number(LISTEN_FDS) || 0 }, (_, index) => firstDescriptor + index).flatMap(
      (descriptor, index) => [
        [String(index), descriptor],
        ...(names[index] ? [[names[index], descriptor] as const] : []),
      ],
    ),
  );
}
