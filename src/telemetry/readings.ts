// SPDX-License-Identifier: Apache-2.0

// What the metrics of every process have in common.

import { Counter, collectDefaultMetrics, Gauge, type Registry } from 'prom-client';

const EVENT_LOOP_LOOK_MS = 1000;

/** What runs, as `istio_build` tells it. */
export interface Build {
  readonly component: string;
  readonly tag: string;
}

/** Declares the build and what the process itself tells: memory, CPU, event loop. */
export function declareBuild(registry: Registry, { component, tag }: Build): void {
  // The library's default looks at the event loop every 10 ms: a hundred wake-ups a second of what has nothing to do.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_LOOK_MS });
  new Gauge({
    name: 'istio_build',
    help: 'The build that runs.',
    labelNames: ['component', 'tag'],
    registers: [registry],
  }).set({ component, tag }, 1);
}

type Declaration<T extends string, M> = [name: string, help: string, labels: T[], read: (metric: M) => void];

/** Declares metrics whose values live elsewhere and are read at each scrape. */
export function readingsOf(registry: Registry): {
  readonly readCounter: <T extends string>(...declaration: Declaration<T, Counter<T>>) => Counter<T>;
  readonly readGauge: <T extends string>(...declaration: Declaration<T, Gauge<T>>) => Gauge<T>;
} {
  const registers = [registry];
  return {
    readCounter: (name, help, labelNames, read) =>
      new Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          read(this);
        },
      }),
    readGauge: (name, help, labelNames, read) =>
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          read(this);
        },
      }),
  };
}

type SnakeCase<T extends string> = T extends `${infer Head}${infer Tail}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${SnakeCase<Tail>}`
  : '';

/** What `prefixed` calls the counters of these parts. */
export type PrefixedName<Parts> = {
  [Part in keyof Parts & string]: `${Part}_${SnakeCase<keyof Parts[Part] & string>}`;
}[keyof Parts & string];

/** The counters of several parts, each by the name of its part and its own: `writeFailures` is `cache_write_failures`. */
export function* prefixed<Parts extends Readonly<Record<string, object>>>(
  parts: Parts,
): Iterable<readonly [name: PrefixedName<Parts>, value: number]> {
  for (const [part, counters] of Object.entries(parts)) {
    for (const [name, value] of Object.entries(counters)) {
      const words = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      yield [`${part}_${words}` as PrefixedName<Parts>, value as number];
    }
  }
}
