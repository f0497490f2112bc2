// SPDX-License-Identifier: Apache-2.0

import { Registry } from 'prom-client';
import { nextTurn } from '../model/clock.ts';

/** A registry of one process's metrics, and its rendering. */
export interface MetricsRegistry {
  readonly registry: Registry;
  /**
   * Metrics that are too many for one turn: their text in pieces, rendered before those of `registry`. An empty piece took a
   * turn's time without a text.
   */
  addPieces(pieces: () => Iterable<string>): void;
  /** Prometheus text in UTF-8, with its content type. Others have their turns on this thread meanwhile. */
  render(): Promise<{ readonly text: Uint8Array; readonly type: string }>;
}

// Rendered between two turns: one or two milliseconds.
const TURN_BYTES_MAX = 64 * 1024;

export function openRegistry(): MetricsRegistry {
  const registry = new Registry();
  const sources: (() => Iterable<string>)[] = [];
  return {
    registry,
    addPieces: (pieces) => void sources.push(pieces),
    render: async () => {
      const rendering: Uint8Array[] = [];
      let bytes = 0;
      const add = async (text: string): Promise<void> => {
        const piece = Buffer.from(text);
        rendering.push(piece);
        bytes += piece.length;
        if (bytes < TURN_BYTES_MAX && text !== '') return;
        bytes = 0;
        await nextTurn();
      };
      for (const pieces of sources) for (const piece of pieces()) await add(piece);
      for (const { name } of registry.getMetricsAsArray()) {
        await add(`${await registry.getSingleMetricAsString(name)}\n\n`);
      }
      return { text: Buffer.concat(rendering), type: registry.contentType };
    },
  };
}
