// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';

import { globalAddresses, NodeFactsReader } from '../api/node-facts.ts';
import type { Config } from '../config/table.ts';
import { findBpfDirectory } from '../dialogue/engine-options.ts';
import type { Closers } from '../model/closers.ts';
import { requireCgroup } from '../node/cgroup.ts';
import { findKubeletCgroup } from '../node/kubelet-cgroup.ts';
import { NodeHome, type NodePlaces } from '../node/node-home.ts';
import { Forwarding } from '../node/node-network.ts';
import { findResolvers } from '../node/resolvers.ts';
import { nameLivingPods } from '../pods/living-pods.ts';
import type { PodRecord } from '../pods/pod.ts';
import { mayHavePodFiles, PodFiles } from '../pods/pod-files.ts';
import { recoverPods } from '../pods/recover.ts';
import type { Logger } from '../telemetry/logger.ts';

/** What the engine needs to know of cgroups and pins. */
export interface CapturePlaces extends NodePlaces {
  /** Whose sockets reach pods in plaintext; undefined: nobody's. */
  readonly probeCgroup: string | undefined;
}

/** What the agent finds and takes on its machine before it carries any traffic. */
export interface Place {
  readonly home: NodeHome;
  readonly addresses: readonly string[];
  readonly resolvers: readonly string[];
  readonly files: PodFiles;
  /** Pods of a previous run whose holders live. */
  readonly recovered: readonly PodRecord[];
  readonly nodeFacts: NodeFactsReader;
  /** Where capture's programs hang, and whose probes pass. */
  readonly places: CapturePlaces;
}

/** Takes the node: lock, cgroups, forwarding where pods are made here; and clears away what a previous run left. */
export async function openPlace(
  config: Config<'node' | 'kernel' | 'engine' | 'upstream' | 'pods'>,
  log: Logger,
  closers: Closers,
  signal: AbortSignal,
): Promise<Place> {
  const { name: node } = config.node;
  const podsLog = log.child('pods');
  // What the engine would refuse with less words.
  findBpfDirectory(config.kernel);
  if (config.engine.probeCgroup !== undefined) await requireCgroup('probe-cgroup', config.engine.probeCgroup);
  const home = await NodeHome.open(
    {
      node,
      runDirectory: config.node.runDirectory,
      bpffs: config.kernel.bpffs,
      cgroupRoot: config.kernel.cgroupRoot,
    },
    { nameLiving: nameLivingPods, mayBeIn: mayHavePodFiles },
    podsLog,
  );
  const files = new PodFiles(home.podsDirectory, podsLog);
  closers.add('node', async () => home.close(await files.mayHavePods()));
  signal.throwIfAborted();
  const resolvers = config.engine.resolvers.length > 0 ? config.engine.resolvers : await findResolvers();
  await openForwarding(config.upstream, home, files, podsLog, closers);
  const recovered = await recoverPods({ node, podsCgroup: home.podsCgroup }, files, podsLog);
  signal.throwIfAborted();
  const addresses = config.node.addresses.length > 0 ? config.node.addresses : globalAddresses();
  const nodeFacts = new NodeFactsReader(node, addresses);
  const places = await capturePlaces(config, home, podsLog);
  return { home, addresses, resolvers, files, recovered, nodeFacts, places };
}

/** Pods of a container runtime are in cgroups of its own choice: what holds for them hangs at the root, gated by namespace. */
async function capturePlaces(
  { engine, pods }: Config<'engine' | 'pods'>,
  home: NodeHome,
  log: Logger,
): Promise<CapturePlaces> {
  const { pinDirectory, agentCgroup } = home;
  if (pods.source === 'run')
    return { pinDirectory, agentCgroup, podsCgroup: home.podsCgroup, probeCgroup: engine.probeCgroup };
  const kubelet = engine.probeCgroup === undefined ? await findKubeletCgroup() : undefined;
  const probeCgroup = engine.probeCgroup ?? (kubelet === undefined ? undefined : join(home.cgroupRoot, kubelet));
  if (probeCgroup === undefined)
    log.warn(
      'the kubelet has no cgroup of its own: its probes of pods that take mutual TLS only fail; name one with --probe-cgroup',
    );
  return { pinDirectory, agentCgroup, podsCgroup: home.cgroupRoot, probeCgroup };
}

// Where others make the pods, what an earlier run turned on for its own is turned off again all the same.
async function openForwarding(
  { podRegistry }: Config<'upstream'>['upstream'],
  home: NodeHome,
  files: PodFiles,
  log: Logger,
  closers: Closers,
): Promise<void> {
  const forwarding = new Forwarding(home.sysctlMemory, log);
  closers.add('forwarding', async () => {
    if (!(await files.mayHavePods())) await forwarding.close();
  });
  await (podRegistry ? forwarding.open() : forwarding.recall());
}
