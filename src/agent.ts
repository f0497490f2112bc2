// SPDX-License-Identifier: Apache-2.0

// The agent of a node: wiring and nothing else; each part's own wiring is in agent/.
//
//   DeltaClient ─→ MeshStore ─→ Decider ⇄ EngineDialogue ⇄ engine ─→ access log, metrics
//        │ ↑ ConfigCache             ↑ LocalPodDirectory
//   PodRegistryClient ⇄ PodManager ──┘─→ CaptureSteps ─→ engine
//   SigningClient ← CertificateManager ─→ EngineIdentities ─→ engine
//   API: 127.0.0.1:15000 and agent.sock · readiness 15021 · metrics 15020

import { openApi } from './agent/api.ts';
import { openDecisions } from './agent/decisions.ts';
import { openDiscovery } from './agent/discovery.ts';
import { drain } from './agent/drain.ts';
import { openIdentity } from './agent/identity.ts';
import type { KubernetesNode } from './agent/kubernetes.ts';
import { openPlace } from './agent/place.ts';
import { openPods } from './agent/pods.ts';
import { openTelemetry, type TelemetrySources } from './agent/telemetry.ts';
import { openUpstream } from './agent/upstream.ts';
import type { Config } from './config/table.ts';
import { engineOptions } from './dialogue/engine-options.ts';
import { PodCaptures } from './dialogue/pod-captures.ts';
import type { EnginePort } from './engine/port.ts';
import { MeshStore } from './mesh/store.ts';
import { formatSocketAddress } from './model/address.ts';
import { type Clock, systemClock } from './model/clock.ts';
import { Closers } from './model/closers.ts';
import type { EngineOptions } from './model/messages.gen.ts';
import { readFileLimit } from './node/file-limit.ts';
import { FlowLabelTable } from './telemetry/flow-labels.ts';
import type { Logger } from './telemetry/logger.ts';

export type AgentConfig = Config<
  | 'node'
  | 'state'
  | 'upstream'
  | 'kernel'
  | 'engine'
  | 'pods'
  | 'kubernetes'
  | 'exit'
  | 'mesh'
  | 'api'
  | 'log'
  | 'accessLog'
>;

export type OpenEngine = (options: EngineOptions) => EnginePort;

/** An agent that runs. */
export interface Agent {
  readonly socket: string;
  /** Asks live connections to end, then leaves the node: with its pods captured as they are, or, without any, empty. */
  close(): Promise<void>;
}

/**
 * Takes the node, opens the engine, and joins the control plane.
 *
 * Rejects with what failed, or with the reason of `signal` when that aborts; then nothing is left.
 */
export async function openAgent(
  config: AgentConfig,
  log: Logger,
  openEngine: OpenEngine,
  signal: AbortSignal,
): Promise<Agent> {
  const closers = new Closers(log);
  try {
    return await openParts(config, log, openEngine, signal, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

async function openParts(
  config: AgentConfig,
  log: Logger,
  openEngine: OpenEngine,
  signal: AbortSignal,
  closers: Closers,
): Promise<Agent> {
  const clock = systemClock;
  const startedMs = clock.nowMs();
  const upstream = openUpstream(config, clock, log);
  const { controlPlane } = upstream;
  const kubernetes = await openKubernetes(config, clock, log, closers);
  const place = await openPlace(config, log, closers, signal);

  // From here to the subscription nothing awaits: what the engine says in its first turn must find its listener.
  const options = engineOptions(config, place.places, place.resolvers, readFileLimit() ?? Number.POSITIVE_INFINITY);
  warnOfFewFiles(config, options, log);
  const engine = openEngine(options);
  closers.add('engine', () => engine.close());
  const mesh = new MeshStore();
  const labels = new FlowLabelTable();
  const telemetry = openTelemetry(labels, log, clock, () => sources);
  const { metrics } = telemetry;
  const captures = new PodCaptures(engine, clock, log.child('pods'));
  const decisions = openDecisions(
    config,
    log,
    { engine, mesh, captures, labels, metrics, resolvers: place.resolvers, clock },
    closers,
  );

  const identity = openIdentity(config, log, { controlPlane, engine, clock }, closers);
  const address = place.addresses[0] ?? '127.0.0.1';
  // Each of the two streams pauses after its own failures. Whichever is served first tells the other, or pods would be
  // admitted to a mesh that this node hears of only later.
  const onAnswered = (): void => pods.registry.hurry();
  const discovery = openDiscovery(config, log, { controlPlane, mesh, address, metrics, onAnswered, clock }, closers);
  const onWelcome = (): void => discovery.xds.hurry();
  const podsParts = { kubernetes, place, upstream, mesh, captures, identity, decisions, onWelcome, clock };
  const pods = openPods(config, log, podsParts, closers);
  const parts = { engine, mesh, captures, decisions, upstream, identity, discovery, place, pods };
  const sources: TelemetrySources = { ...parts, startedMs };
  mesh.watch(({ keys }) => {
    decisions.dialogue.onChange(keys);
    pods.pods.onMeshChanged();
  });

  const restored = await discovery.restore();
  signal.throwIfAborted();
  pods.pods.open(place.recovered);
  discovery.xds.open();
  if (config.upstream.podRegistry) pods.registry.open();
  pods.openKubernetes();
  await openApi(config, log, { ...sources, telemetry, clock, restored }, closers);
  // Who waits for the end of a pod hears of it from the API, so that goes after the pods.
  closers.add('traffic', () => drain(engine, config.engine.drainDeadlineMs, clock));
  if (!config.exit.keepPods) closers.add('pods of this node', () => pods.pods.removeAll());
  signal.throwIfAborted();
  const { control } = config.upstream;
  log.info('agent serves', {
    node: config.node.name,
    socket: place.home.socket,
    control: formatSocketAddress({ address: control.host, port: control.port }),
  });
  return { socket: place.home.socket, close: () => closers.close() };
}

function warnOfFewFiles(
  { engine: { connectionsMax } }: Config<'engine'>,
  { connectionsMax: connections }: EngineOptions,
  log: Logger,
): void {
  if (connections >= connectionsMax) return;
  log.warn('the limit of open files is too low for --connections-max', {
    connections_max: connectionsMax,
    connections,
    files: readFileLimit(),
    hint: 'raise the limit of open files of the agent (LimitNOFILE), or set a lower --connections-max',
  });
}

/** Where the API server of Kubernetes knows the pods of this node. */
async function openKubernetes(
  config: AgentConfig,
  clock: Clock,
  log: Logger,
  closers: Closers,
): Promise<KubernetesNode | undefined> {
  if (config.pods.source === 'run') return undefined;
  const { openKubernetesNode } = await import('./agent/kubernetes.ts');
  const kubernetes = await openKubernetesNode(config, clock, log.child('pods'));
  closers.add('API server', () => kubernetes.close());
  return kubernetes;
}
