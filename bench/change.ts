// SPDX-License-Identifier: Apache-2.0

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { ChangeLog } from '../src/cluster/change-log.ts';
import { KeptState } from '../src/cluster/kept-state.ts';
import { ManifestLog } from '../src/cluster/manifest-log.ts';
import { MeshPublisher, SOURCES } from '../src/cluster/mesh-publisher.ts';
import { Publication } from '../src/cluster/publication.ts';
import { ReportedPods } from '../src/cluster/reported-pods.ts';
import { DEFAULT_ENROLMENT_SETTINGS, decideCapture } from '../src/compile/enrolment.ts';
import { DEFAULT_COMPILE_SETTINGS } from '../src/compile/settings.ts';
import { ConfigCache } from '../src/discovery/config-cache.ts';
import { decodeObject } from '../src/discovery/decode.ts';
import { DeltaServer } from '../src/discovery/delta-server.ts';
import { PodTable, type RegisteredPod } from '../src/discovery/pod-table.ts';
import type { EncodedResource, ResourceChanges } from '../src/discovery/resource.ts';
import { type MeshDelta, MeshStore } from '../src/mesh/store.ts';
import type { Clock } from '../src/model/clock.ts';
import type { Log } from '../src/model/log.ts';
import { ObjectStore } from '../src/objects/object-store.ts';
import { readObjects } from '../src/objects/read-objects.ts';
import { CHANGE_ROWS } from './goals.ts';
import { type Cell, summarize } from './results.ts';

const SIZES = [
  [1_000, CHANGE_ROWS.small],
  [100_000, CHANGE_ROWS.large],
] as const;
const PODS_PER_SERVICE = 100;
const PODS_PER_NODE = 250;
const CHANGES = 200;
// As a process that has run for a while.
const WARM_UP = 100;

const QUIET: Log = { error() {}, warn() {}, info() {}, debug() {} };

/** Timers that run when they are told to. */
class SteppedClock implements Clock {
  readonly #due = new Set<() => void>();

  nowMs(): number {
    return 0;
  }

  setTimer(_delayMs: number, run: () => void): () => void {
    this.#due.add(run);
    return () => this.#due.delete(run);
  }

  run(): void {
    const due = [...this.#due];
    this.#due.clear();
    for (const run of due) run();
  }
}

function podOf(index: number, round = 0): RegisteredPod {
  const service = Math.floor(index / PODS_PER_SERVICE);
  return {
    node: `node-${Math.floor(index / PODS_PER_NODE)}`,
    uid: `uid-${index}`,
    name: `pod-${index}`,
    namespace: `ns-${service % 50}`,
    serviceAccount: `service-${service}`,
    labels: { app: `service-${service}`, 'pod-template-hash': String(service) },
    // Another address each time, as that of a pod that was started again.
    ips: [
      `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
      `fd00::${round.toString(16)}:${(index >> 16).toString(16)}:${(index & 0xffff).toString(16)}`,
    ],
    annotations: {},
    containerPorts: [{ name: 'http', port: 8080 }],
    captured: true,
    terminating: false,
    subdomain: '',
  };
}

function manifestsOf(services: number): unknown[] {
  const namespaces = Array.from({ length: 50 }, (_, i) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: `ns-${i}`, labels: { 'istio.io/dataplane-mode': 'ambient' } },
  }));
  const each = Array.from({ length: services }, (_, i) => {
    const metadata = { name: `service-${i}`, namespace: `ns-${i % 50}` };
    return [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata,
        spec: { selector: { app: `service-${i}` }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
      },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      {
        apiVersion: 'security.istio.io/v1',
        kind: 'AuthorizationPolicy',
        metadata,
        spec: {
          selector: { matchLabels: { app: `service-${i}` } },
          rules: [{ from: [{ source: { namespaces: [`ns-${i % 50}`] } }] }],
        },
      },
    ];
  });
  return [...namespaces, ...each.flat()];
}

/** A control plane with that many pods, without its network. */
class BenchedControl {
  readonly pods = new PodTable(PODS_PER_NODE);
  readonly published: ResourceChanges[] = [];
  readonly #kept: KeptState;
  readonly #publisher: MeshPublisher;

  constructor(size: number, directory: string, clock: Clock) {
    const { pods } = this;
    const store = new ObjectStore([SOURCES.nodes, SOURCES.manifests]);
    const delta = new DeltaServer({ clock, log: QUIET });
    this.#kept = new KeptState(directory, QUIET);
    this.#publisher = new MeshPublisher({
      store,
      registry: {
        pods: () => pods.pods(),
        takeChanges: () => pods.takeChanges(),
        decide: (decision) => pods.decide(decision),
        reject() {},
        tellProblems() {},
      },
      reported: new ReportedPods((pod, namespace) => decideCapture(pod, namespace, DEFAULT_ENROLMENT_SETTINGS)),
      publication: new Publication(QUIET),
      delta: {
        publish: (changes) => {
          delta.publish(changes);
          this.published.push(changes);
        },
      },
      kept: this.#kept,
      changeLog: new ChangeLog(QUIET),
      manifestLog: new ManifestLog(QUIET, clock),
      settings: DEFAULT_COMPILE_SETTINGS,
      clock,
      log: QUIET,
    });
    store.upsert(SOURCES.manifests, readObjects('bench.yaml', manifestsOf(size / PODS_PER_SERVICE)));
    for (let index = 0; index < size; index += 1) pods.put(podOf(index));
    this.#publisher.publish();
  }

  change(index: number, round: number): void {
    this.pods.put(podOf(index, round));
    this.#publisher.publish();
  }

  close(): Promise<void> {
    return this.#kept.close();
  }
}

/** An agent that has heard of all that, without its engine. */
class BenchedAgent {
  readonly #mesh = new MeshStore();
  readonly #cache: ConfigCache;
  readonly #clock: SteppedClock;

  constructor(path: string, clock: SteppedClock) {
    this.#cache = new ConfigCache({ path, clock, log: QUIET });
    this.#clock = clock;
  }

  take({ upserts, removals }: ResourceChanges): void {
    this.#mesh.apply(toDelta(upserts));
    for (const resource of upserts) this.#cache.record(resource.type, [resource], []);
    for (const { type, name } of removals) this.#cache.record(type, [], [name]);
    this.#clock.run();
  }

  close(): Promise<void> {
    return this.#cache.close();
  }
}

function toDelta(resources: readonly EncodedResource[]): MeshDelta {
  const objects = resources.map(({ type, name, bytes }, index) => decodeObject(type, name, bytes, index));
  return {
    workloads: objects.flatMap((one) => (one.kind === 'workload' ? [one.workload] : [])),
    services: objects.flatMap((one) => (one.kind === 'service' ? [one.service] : [])),
    policies: objects.flatMap((one) => (one.kind === 'authorization' ? [one.authorization] : [])),
  };
}

async function timed(run: () => void): Promise<number> {
  // What the change before left for later is not this one's.
  await turnOfLoop();
  const begun = performance.now();
  run();
  return performance.now() - begun;
}

/** Milliseconds of the main thread that one pod's change takes, in a control plane and in an agent. */
export async function measureChange(changes = CHANGES): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const [size, row] of SIZES) {
    const directory = mkdtempSync(join(tmpdir(), 'groundwire-bench-'));
    const control = new BenchedControl(size, directory, new SteppedClock());
    const agent = new BenchedAgent(join(directory, 'config.cache'), new SteppedClock());
    try {
      for (const published of control.published.splice(0)) agent.take(published);
      const ofControl: number[] = [];
      const ofAgent: number[] = [];
      for (let round = 1; round <= WARM_UP + changes; round += 1) {
        ofControl.push(await timed(() => control.change((round * 7919) % size, round)));
        const [published] = control.published.splice(0);
        if (published?.upserts.length !== 1)
          throw new Error(`one pod changed, ${published?.upserts.length} resources did`);
        ofAgent.push(await timed(() => agent.take(published)));
      }
      cells.push(
        summarize(row, 'control plane', 'ms a change', ofControl.slice(WARM_UP)),
        summarize(row, 'agent', 'ms a change', ofAgent.slice(WARM_UP)),
      );
    } finally {
      await Promise.all([control.close(), agent.close()]);
      rmSync(directory, { recursive: true, force: true });
    }
  }
  return cells;
}
