/** A server under measurement: a process with what it has started. */
export interface MeasuredServer {
  readonly pid: number;
  /** On 127.0.0.1. */
  readonly port: number;
  stop(): Promise<void>;
}

/** One side of a comparison, started anew for each round. */
export interface Side {
  readonly name: string;
  start(): Promise<MeasuredServer>;
}

export async function whileRunning<T>(side: Side, measure: (server: MeasuredServer) => Promise<T>): Promise<T> {
  const server = await side.start();
  try {
    return await measure(server);
  } finally {
    await server.stop();
  }
}
