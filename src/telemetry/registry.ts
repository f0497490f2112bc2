// SPDX-License-Identifier: Apache-2.0

import { Registry } from 'prom-client';

/** A registry of one agent's metrics, and its rendering. */
export interface MetricsRegistry {
  readonly registry: Registry;
  /** Prometheus text in UTF-8, with its content type. */
  render(): Promise<{ readonly text: Uint8Array; readonly type: string }>;
}

export function openRegistry(): MetricsRegistry {
  const registry = new Registry();
  return {
    registry,
    render: async () => ({ text: Buffer.from(await registry.metrics()), type: registry.contentType }),
  };
}
