import { Counter, Gauge, type Registry } from 'prom-client';

type Labels = Readonly<Record<string, string>>;
/** Sets one value; without labels, or with all that the metric has. */
export type Put = (value: number, labels?: Labels) => void;
/** How the values of several workers become one. */
type Aggregator = 'sum' | 'min' | 'max';

/** Metrics that are read from somewhere whenever they are asked for. */
export class Collected {
  constructor(private readonly registry: Registry) {}

  gauge(
    name: string,
    help: string,
    labelNames: string[],
    read: (put: Put) => void,
    aggregator: Aggregator = 'sum',
  ): void {
    const collect = (): void => {
      metric.reset();
      read((value, labels = {}) => metric.set(labels, value));
    };
    const metric = new Gauge({ ...this.#named(name, help), labelNames, collect, aggregator });
  }

  /** What is read is a total, so every collection starts from nothing. */
  counter(name: string, help: string, labelNames: string[], read: (put: Put) => void): void {
    const collect = (): void => {
      metric.reset();
      read((value, labels = {}) => metric.inc(labels, value));
    };
    const metric = new Counter({ ...this.#named(name, help), labelNames, collect });
  }

  #named(name: string, help: string): { name: string; help: string; registers: Registry[] } {
    return { name: `nest_hsm_tls_${name}`, help, registers: [this.registry] };
  }
}
