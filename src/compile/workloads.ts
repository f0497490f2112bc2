// SPDX-License-Identifier: Apache-2.0

import type { GatewayAddress, ServicePort } from '../model/service.ts';
import type { Locality, Workload } from '../model/workload.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { MeshObject, PodObject, Protocol, ServiceObject } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import { SelectorIndex } from './selector-index.ts';
import { serviceHostname } from './services.ts';
import type { CompileSettings } from './settings.ts';
import type { TrafficType } from './waypoints.ts';

/** A Service-like thing that takes its endpoints by labels, reduced to what a workload needs of it. */
export interface Backend {
  readonly key: string;
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly targetPort: number | string;
    readonly protocol: Protocol;
  }[];
}

/** What the workloads of one compilation share. */
export interface WorkloadContext {
  readonly settings: CompileSettings;
  readonly notices: Notice[];
  /** Services and ServiceEntries, by the labels they select. */
  readonly backends: SelectorIndex<Backend>;
  /** Services that EndpointSlices add to a pod, by the pod's uid. */
  readonly addedBackends: ReadonlyMap<string, readonly (readonly [string, readonly ServicePort[]])[]>;
  readonly localities: ReadonlyMap<string, Locality>;
  readonly findWaypoint: (object: MeshObject, traffic: TrafficType) => GatewayAddress | undefined;
  readonly findPolicies: (namespace: string, labels: ReadonlyMap<string, string>) => readonly string[];
}

/** The fields that hold for every workload until something says otherwise. */
export function blankWorkload(settings: CompileSettings): Omit<Workload, 'uid' | 'name' | 'namespace'> {
  return {
    addresses: [],
    hostname: '',
    network: settings.network,
    tunnelProtocol: 'NONE',
    trustDomain: settings.trustDomain,
    serviceAccount: 'default',
    node: '',
    canonicalName: '',
    canonicalRevision: '',
    workloadType: 'POD',
    workloadName: '',
    nativeTunnel: false,
    services: new Map(),
    authorizationPolicies: [],
    status: 'HEALTHY',
    clusterId: settings.clusterId,
    networkMode: 'STANDARD',
    capacity: 1,
  };
}

/**
 * Compiles a Pod, or `undefined` for one that has no address or has ended.
 *
 * HBONE is said of a pod once its node has captured it (annotation `ambient.istio.io/redirection`), or if it speaks
 * HBONE itself. Source: istio pilot/pkg/serviceregistry/ambient/workloads.go @86c9f01; recorded resources.
 */
export function compilePod(pod: PodObject, context: WorkloadContext): Workload | undefined {
  if (pod.addresses.length === 0 || pod.phase === 'Succeeded' || pod.phase === 'Failed') return undefined;
  const { settings } = context;
  const { labels, annotations, namespace, name } = pod.meta;
  const native = labels.get('networking.istio.io/tunnel') === 'http';
  const workloadName = labels.get('service.istio.io/workload-name') ?? ownerName(pod);
  const locality = context.localities.get(pod.nodeName);
  const waypoint = context.findWaypoint(pod, 'workload');
  return {
    ...blankWorkload(settings),
    uid: `${settings.clusterId}//Pod/${namespace}/${name}`,
    name,
    namespace,
    addresses: pod.addresses,
    network: labels.get('topology.istio.io/network') ?? settings.network,
    tunnelProtocol: native || annotations.get('ambient.istio.io/redirection') === 'enabled' ? 'HBONE' : 'NONE',
    serviceAccount: pod.serviceAccount,
    ...(waypoint && { waypoint }),
    node: pod.nodeName,
    ...canonicalNames(labels, workloadName),
    workloadName,
    nativeTunnel: native,
    services: backendsOf(pod, context),
    authorizationPolicies: context.findPolicies(namespace, labels),
    status: pod.ready && !pod.meta.deleting ? 'HEALTHY' : 'UNHEALTHY',
    ...(locality && { locality }),
    networkMode: pod.hostNetwork ? 'HOST_NETWORK' : 'STANDARD',
  };
}

function backendsOf(pod: PodObject, context: WorkloadContext): Map<string, readonly ServicePort[]> {
  const found = new Map<string, readonly ServicePort[]>();
  for (const backend of context.backends.find(pod.meta.namespace, pod.meta.labels)) {
    found.set(
      backend.key,
      resolvePorts(backend, (name, protocol) => {
        return pod.ports.find((port) => port.name === name && port.protocol === protocol)?.port;
      }),
    );
  }
  for (const [key, ports] of context.addedBackends.get(pod.meta.uid) ?? []) found.set(key, ports);
  return found;
}

/** The ports of a backend as one workload serves them; a named port that the workload lacks is left out. */
export function resolvePorts(
  { ports }: Backend,
  findNamed: (name: string, protocol: Protocol) => number | undefined,
): ServicePort[] {
  return ports.flatMap(({ port, targetPort, protocol }) => {
    const resolved = typeof targetPort === 'number' ? targetPort : findNamed(targetPort, protocol);
    return resolved === undefined ? [] : [{ servicePort: port, targetPort: resolved, appProtocol: 'UNKNOWN' as const }];
  });
}

/** How telemetry names a workload: its labels in Istio's order, else the workload's own name and `latest`. */
export function canonicalNames(
  labels: ReadonlyMap<string, string>,
  workloadName: string,
): Pick<Workload, 'canonicalName' | 'canonicalRevision'> {
  const first = (...keys: string[]): string | undefined => keys.map((key) => labels.get(key)).find((value) => value);
  return {
    canonicalName: first('service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app') ?? workloadName,
    canonicalRevision: first('service.istio.io/canonical-revision', 'app.kubernetes.io/version', 'version') ?? 'latest',
  };
}

/** What made the pod: a Deployment behind its ReplicaSet, a CronJob behind its Job, any other owner, or the pod itself. */
function ownerName({ meta }: PodObject): string {
  const { controller } = meta;
  if (controller === undefined) return meta.name;
  const hash = meta.labels.get('pod-template-hash');
  if (controller.kind === 'ReplicaSet' && hash && controller.name.endsWith(`-${hash}`)) {
    return controller.name.slice(0, -hash.length - 1);
  }
  // A CronJob names its Jobs after itself and the minute of their schedule.
  if (controller.kind === 'Job') return controller.name.replace(/-[0-9]{8,10}$/, '');
  return controller.name;
}

/** Where each node is, from its topology labels. */
export function nodeLocalities(objects: ObjectSnapshot): Map<string, Locality> {
  const localities = new Map<string, Locality>();
  for (const { meta } of objects.of('Node')) {
    const region = meta.labels.get('topology.kubernetes.io/region') ?? '';
    const zone = meta.labels.get('topology.kubernetes.io/zone') ?? '';
    const subzone = meta.labels.get('topology.istio.io/subzone') ?? '';
    if (region + zone + subzone !== '') localities.set(meta.name, { region, zone, subzone });
  }
  return localities;
}

/** Services with a selector, and ServiceEntries with one, filed by what they select. */
export function indexBackends(objects: ObjectSnapshot, settings: CompileSettings): SelectorIndex<Backend> {
  const backends = new SelectorIndex<Backend>();
  for (const service of objects.of('Service')) {
    if (service.type === 'ExternalName') continue;
    backends.add(service.meta.namespace, service.selector, {
      key: backendKey(service, settings),
      ports: service.ports,
    });
  }
  for (const { meta, workloadSelector, hosts, ports } of objects.of('ServiceEntry')) {
    for (const host of hosts)
      backends.add(meta.namespace, workloadSelector ?? new Map(), { key: `${meta.namespace}/${host}`, ports });
  }
  return backends;
}

/** The key under which workloads name a Kubernetes Service. */
export function backendKey({ meta }: ServiceObject, settings: CompileSettings): string {
  return `${meta.namespace}/${serviceHostname(meta.namespace, meta.name, settings.clusterDomain)}`;
}

/** Reports something about one object. */
export function noteOn(
  context: Pick<WorkloadContext, 'notices'>,
  code: Notice['code'],
  object: MeshObject,
  message: string,
): void {
  context.notices.push({ code, object: objectKey(object.kind, object.meta), message });
}
