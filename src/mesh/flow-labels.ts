// SPDX-License-Identifier: Apache-2.0

import type { FlowFacts } from '../model/flow-facts.ts';
import type { Workload } from '../model/workload.ts';

/** Gives label sets small numbers that the engine can count by. */
export interface FlowLabels {
  internFlow(facts: FlowFacts): number;
  internPeer(workload: Workload): number;
}
