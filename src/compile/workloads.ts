// SPDX-License-Identifier: Apache-2.0

import type { ServicePort } from '../model/service.ts';
import type { Locality, Workload } from '../model/workload.ts';
import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type {
  MeshObject,
  PodObject,
  Protocol,
  ServiceObject,
  ServiceObjectPort,
  WorkloadEntryObject,
} from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';
import type { EntryHosts } from './entry-hosts.ts';
import { isCarried } from './ports.ts';
import { SelectorIndex } from './selector-index.ts';
import { serviceHostname } from './services.ts';
import type { CompileSettings } from './settings.ts';
import type { FindWaypoint } from './waypoints.ts';

/** A Service-like thing that takes its endpoints by labels, reduced to what a workload needs of it. */
export interface Backend {
  readonly key: string;
  /** Name of the Service; "" of a ServiceEntry. */
  readonly name: string;
  readonly publishNotReady: boolean;
  /** Those that the mesh carries. */
  readonly ports: readonly BackendPort[];
}

export type BackendPort = Pick<ServiceObjectPort, 'name' | 'port' | 'targetPort' | 'targetByName' | 'protocol'>;

/** A Service that an EndpointSlice adds to a pod. */
export interface AddedBackend {
  readonly key: string;
  readonly ports: readonly ServicePort[];
  /** The pod's name below that of the Service; "" = none. */
  readonly hostname: string;
}

/** What the workloads of one compilation share. */
export interface WorkloadContext {
  readonly settings: CompileSettings;
  readonly notices: Notice[];
  /** Services and ServiceEntries, by the labels they select. */
  readonly backends: Pick<SelectorIndex<Backend>, 'find'>;
  /** Services that EndpointSlices add to a pod, by `namespace/name` of the pod. */
  readonly addedBackends: { get(podKey: string): readonly AddedBackend[] | undefined };
  /** Whether a Service has an endpoint that is ready and has not been told to end. */
  readonly hasReady: (backendKey: string) => boolean;
  readonly localities: { get(node: string): Locality | undefined };
  readonly findWaypoint: FindWaypoint;
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
  if (!isThere(pod)) return undefined;
  const { settings } = context;
  const { labels, annotations, namespace, name } = pod.meta;
  const native = labels.get('networking.istio.io/tunnel') === 'http';
  const workloadName = labels.get('service.istio.io/workload-name') ?? ownerName(pod);
  const locality = context.localities.get(pod.nodeName);
  const waypoint = context.findWaypoint(pod, 'workload');
  const { services, hostnames } = backendsOf(pod, context);
  const isEndpoint = !pod.meta.deleting || services.size > 0;
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
    services,
    ...(hostnames.size > 0 && { hostnames }),
    authorizationPolicies: context.findPolicies(namespace, labels),
    status: pod.ready && isEndpoint ? 'HEALTHY' : 'UNHEALTHY',
    ...(locality && { locality }),
    networkMode: pod.hostNetwork ? 'HOST_NETWORK' : 'STANDARD',
  };
}

/**
 * The Services that a pod is an endpoint of, and its names below them.
 *
 * A pod that has been told to end is one no longer, unless nobody else is left who is ready: then, as in Kubernetes, it
 * serves until it has ended. Where not ready ones are published, so are those.
 */
function backendsOf(pod: PodObject, context: WorkloadContext) {
  const services = new Map<string, readonly ServicePort[]>();
  const hostnames = new Map<string, string>();
  const findNamed: FindNamed = (name, protocol) =>
    pod.ports.find((port) => port.name === name && port.protocol === protocol)?.port;
  for (const backend of context.backends.find(pod.meta.namespace, pod.meta.labels)) {
    if (pod.meta.deleting && !backend.publishNotReady && context.hasReady(backend.key)) continue;
    services.set(backend.key, resolvePorts(backend.ports, findNamed));
    if (pod.hostname !== '' && pod.subdomain === backend.name) hostnames.set(backend.key, pod.hostname);
  }
  for (const { key, ports, hostname } of context.addedBackends.get(`${pod.meta.namespace}/${pod.meta.name}`) ?? []) {
    services.set(key, ports);
    if (hostname !== '') hostnames.set(key, hostname);
  }
  return { services, hostnames };
}

type FindNamed = (name: string, protocol: Protocol) => number | undefined;

/** The ports of a backend as one workload serves them; a named port that the workload lacks is left out. */
export function resolvePorts(ports: readonly BackendPort[], findNamed: FindNamed): ServicePort[] {
  return ports.flatMap(({ name, port, targetPort, targetByName, protocol }) => {
    const byName = targetByName ? findNamed(name, protocol) : undefined;
    const resolved = byName ?? (typeof targetPort === 'number' ? targetPort : findNamed(targetPort, protocol));
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
export function indexBackends(
  objects: ObjectSnapshot,
  hosts: EntryHosts,
  settings: CompileSettings,
): SelectorIndex<Backend> {
  const backends = new SelectorIndex<Backend>();
  for (const service of objects.of('Service')) {
    if (service.type === 'ExternalName') continue;
    backends.add(service.meta.namespace, service.selector, {
      key: backendKey(service, settings),
      name: service.meta.name,
      publishNotReady: service.publishNotReadyAddresses,
      ports: service.ports.filter(isCarried),
    });
  }
  for (const entry of objects.of('ServiceEntry')) {
    const { namespace } = entry.meta;
    for (const host of entry.hosts) {
      const ports = hosts.portsOf(entry, host);
      const backend = { key: `${namespace}/${host}`, name: '', publishNotReady: false, ports: ports ?? [] };
      if (ports !== undefined) backends.add(namespace, entry.workloadSelector ?? new Map(), backend);
    }
  }
  return backends;
}

/** Keys of the Services for which a pod or machine is ready and has not been told to end. */
export function readyFor(
  object: PodObject | WorkloadEntryObject,
  backends: Pick<SelectorIndex<Backend>, 'find'>,
): readonly string[] {
  const { namespace } = object.meta;
  if (object.kind === 'Pod' && (!object.ready || object.meta.deleting || !isThere(object))) return [];
  return backends.find(namespace, labelsOf(object)).map(({ key }) => key);
}

/** What selectors look at. */
export function labelsOf(object: PodObject | WorkloadEntryObject): ReadonlyMap<string, string> {
  const { labels } = object.meta;
  return object.kind === 'Pod' ? labels : new Map([...labels, ...object.machine.labels]);
}

/** A Pod that has no address yet, or has ended, is no workload. */
function isThere({ addresses, phase }: PodObject): boolean {
  return addresses.length > 0 && phase !== 'Succeeded' && phase !== 'Failed';
}

/** Whether a Service has somebody who is ready; looked up when a pod that is told to end first asks. */
export function readyBackends(
  objects: ObjectSnapshot,
  backends: SelectorIndex<Backend>,
  elsewhere: ReadonlySet<string>,
): WorkloadContext['hasReady'] {
  let ready: Set<string> | undefined;
  const find = (): Set<string> => {
    const found = new Set(elsewhere);
    for (const object of [...objects.of('Pod'), ...objects.of('WorkloadEntry')])
      for (const key of readyFor(object, backends)) found.add(key);
    return found;
  };
  return (key) => (ready ??= find()).has(key);
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
