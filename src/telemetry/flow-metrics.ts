// SPDX-License-Identifier: Apache-2.0

import type { Flow } from '../model/messages.gen.ts';
import { findError } from './error-codes.ts';
import { FLOW_LABELS, type FlowLabelSet, type FlowLabelTable } from './flow-labels.ts';

type Count = Exclude<keyof Flow, 'direction' | 'flowLabel' | 'peerLabel' | 'code'>;
type Series = Record<Count, bigint>;
type Reporter = 'source' | 'destination';

// Istio's words are the server's: "received" is what the client sent.
const METRICS: readonly (readonly [name: string, help: string, count: Count])[] = [
  [
    'istio_tcp_connections_opened_total',
    'TCP connections opened, those that were then denied or refused by their destination among them.',
    'opened',
  ],
  ['istio_tcp_connections_closed_total', 'TCP connections closed.', 'closed'],
  [
    'istio_tcp_connections_failed_total',
    'TCP connections that failed, were denied or refused; opened and closed as well where it was known what they were.',
    'failed',
  ],
  ['istio_tcp_received_bytes_total', 'Bytes from client to server.', 'bytesSent'],
  ['istio_tcp_sent_bytes_total', 'Bytes from server to client.', 'bytesReceived'],
];

const ROWS_A_PIECE = 100;

/**
 * Istio's counters of connections, of rows that the engine counts by label.
 *
 * There may be tens of thousands of these, each with 27 labels in five metrics: half a second of work. So they are not
 * metrics of the library, which renders one in one go, but text in pieces of a few milliseconds each: whoever renders lets
 * others have a turn in between, and a scrape holds no decision up.
 */
export class FlowMetrics {
  readonly #labels: FlowLabelTable;
  readonly #read: () => readonly Flow[];
  #expired = 0;
  #socketsOpen: Readonly<Record<Reporter, number>> = { source: 0, destination: 0 };

  constructor(labels: FlowLabelTable, read: () => readonly Flow[]) {
    this.#labels = labels;
    this.#read = read;
  }

  /** Rows of the last rendering that were not shown, since their labels have expired. */
  get expired(): number {
    return this.#expired;
  }

  /** Connections that were open at the last rendering; each of those in a tunnel is one. */
  get socketsOpen(): Readonly<Record<Reporter, number>> {
    return this.#socketsOpen;
  }

  /** Prometheus text. Reads the engine once. */
  *pieces(): Generator<string, void, void> {
    const series = new Map<string, Series>();
    let expired = 0;
    const open = { source: 0, destination: 0 };
    for (const [index, row] of this.#read().entries()) {
      if (index % ROWS_A_PIECE === ROWS_A_PIECE - 1) yield '';
      open[row.direction === 'outbound' ? 'source' : 'destination'] += Number(row.opened - row.closed);
      const labels = this.#labels.find(row, findError(row.code)?.responseFlag ?? '-');
      if (labels) addRow(series, textOf(labels), row);
      else expired++;
    }
    this.#expired = expired;
    this.#socketsOpen = open;
    for (const [name, help, count] of METRICS) {
      let lines = [`# HELP ${name} ${help}`, `# TYPE ${name} counter`];
      for (const [labels, sums] of series) {
        if (sums[count] > 0n) lines.push(`${name}{${labels}} ${Number(sums[count])}`);
        if (lines.length < ROWS_A_PIECE) continue;
        yield `${lines.join('\n')}\n`;
        lines = [];
      }
      yield `${[...lines, ''].join('\n')}\n`;
    }
  }
}

// Rows that differ only in codes of one flag, or in pods of one workload, are one series.
function addRow(series: Map<string, Series>, labels: string, row: Flow): void {
  const sums = series.get(labels);
  if (sums === undefined) {
    const { opened, closed, failed, bytesSent, bytesReceived } = row;
    series.set(labels, { opened, closed, failed, bytesSent, bytesReceived });
    return;
  }
  for (const [, , count] of METRICS) sums[count] += row[count];
}

function textOf(labels: FlowLabelSet): string {
  return FLOW_LABELS.map((name) => `${name}="${escapeValue(labels[name])}"`).join(',');
}

// As the text format wants it.
function escapeValue(value: string): string {
  return /[\\\n"]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"') : value;
}
