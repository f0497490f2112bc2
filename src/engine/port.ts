// SPDX-License-Identifier: Apache-2.0

import type {
  Answer,
  Command,
  Connection,
  Counter,
  DnsUpstream,
  EngineEvent,
  Flow,
  Tunnel,
} from '../model/messages.gen.ts';

/** All that lives in the engine, at one moment. */
export interface EngineSnapshot {
  readonly connections: readonly Connection[];
  readonly tunnels: readonly Tunnel[];
  readonly flows: readonly Flow[];
  readonly dnsUpstreams: readonly DnsUpstream[];
  readonly counters: readonly Counter[];
}

export type SnapshotPart = keyof EngineSnapshot;
export type Unsubscribe = () => void;

/**
 * The only door to native/ and bpf/. Everything above this line is testable with `FakeEngine`.
 *
 * `apply` runs a batch in order on the engine's control thread and rejects with `KernelError` at the first command that
 * fails; what came before it stays (callers reconcile). `answer` posts and returns. Events arrive in batches with the
 * number that had to be dropped. After `close` every call but `close` throws `KernelError` ERR_ENGINE_CLOSED.
 */
export interface EnginePort {
  apply(commands: readonly Command[]): Promise<void>;
  answer(answers: readonly Answer[]): void;
  onEvents(listener: (events: readonly EngineEvent[], dropped: number) => void): Unsubscribe;
  readSnapshot(parts: readonly SnapshotPart[]): EngineSnapshot;
  /** Stops workers, closes every socket; pins, and so fail-closed capture, stay. */
  close(): Promise<void>;
}
