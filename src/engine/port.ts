// SPDX-License-Identifier: Apache-2.0

import type { Answer, Command, Connection, Counter, DnsUpstream, EngineEvent, Flow, Tunnel } from './messages.gen.ts';

/** A DNS server for queries that the mesh does not answer. */
export interface UpstreamResolver {
  readonly address: string;
  /** Asked from the node's network namespace, else from the namespace of the pod whose query it is. */
  readonly fromNode: boolean;
}

/** Where the engine keeps its kernel state and how it runs. Every path is absolute; every bound has a default in config. */
export interface EngineOptions {
  /** Directory in bpffs, created with mode 0700; pins outlive the process. */
  readonly pinDirectory: string;
  /** cgroup v2 ancestor of every pod of this node. */
  readonly podsCgroup: string;
  /** cgroup v2 of the agent itself: its own sockets are recognised by it. */
  readonly agentCgroup: string;
  /** cgroup v2 of the kubelet, for probes; "" = none. */
  readonly probeCgroup: string;
  /** Directory with the compiled eBPF objects. */
  readonly bpfDirectory: string;
  readonly trustDomain: string;
  readonly workerThreads: number;
  readonly upstreamResolvers: readonly UpstreamResolver[];
  readonly connectTimeoutMs: number;
  readonly tlsTimeoutMs: number;
  readonly verdictTimeoutMs: number;
  readonly verdictQueueMax: number;
  readonly connectionsMax: number;
  readonly streamsPerTunnelMax: number;
  readonly tunnelIdleMs: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** For bytes that wait for their readers, of all workers together. */
  readonly keptMemoryBytes: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
}

/** One feature of the kernel, as the start-up probe and `groundwire doctor` report it. */
export interface KernelFeature {
  readonly name: string;
  readonly present: boolean;
  readonly required: boolean;
  /** What was tried and what the kernel said. */
  readonly detail: string;
  /** What an operator can do about it; "" when present. */
  readonly remedy: string;
}

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
