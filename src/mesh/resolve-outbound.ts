// SPDX-License-Identifier: Apache-2.0

// The way of a decision:
//   1. the HBONE port of a pod is refused: such a connection would loop, or pass for a peer's. The agent's other listeners are
//      the engine's to refuse, which knows their ports (ztunnel's are fixed, 15001 and 15006, and it refuses them itself);
//   2. the address is looked up: workload, then Service, then what was rejected (refused), then ranges of Services, else it is
//      outside the mesh;
//   3. a Service with a waypoint goes there with its address untranslated; so does a workload with one, when dialled by IP;
//   4. a Service without gives its endpoints, each with its own hop;
//   5. the hop: handoff for a captured pod of this node, HBONE where the workload speaks it, plain TCP otherwise.

import { formatSocketAddress, isLoopback, type SocketAddress } from '../model/address.ts';
import type { ErrorCode } from '../model/errors.ts';
import { parseSpiffeId, type SpiffeId } from '../model/identity.ts';
import { HBONE_PORT, type Refusal, type Route, type RouteChoice } from '../model/route.ts';
import { type GatewayAddress, type Service, type ServicePort, serviceKey } from '../model/service.ts';
import { addressRank, type Workload } from '../model/workload.ts';
import { type Candidate, type FindAddresses, type Selection, selectEndpoints } from './load-balance.ts';
import { bestService, findServiceAround, findServiceAt, findServiceByAddress } from './match-service.ts';
import { type DependencyKey, dependency, type MeshView } from './view.ts';

// Names of names: two Services whose endpoints name each other would never end.
const NAMES_MAX = 4;

/** A captured pod of this node, as decisions see it. */
export interface LocalPod {
  readonly handle: number;
  readonly sameNodeMode: 'handoff' | 'tunnel';
}

/** Which workloads are captured pods of this node. */
export interface LocalPods {
  findCapturedPod(workloadUid: string): LocalPod | undefined;
}

export interface OutboundDecision {
  readonly outcome: Route | Refusal;
  /** The Service that was dialled, if it was one. */
  readonly service?: Service;
  readonly dependencies: ReadonlySet<DependencyKey>;
  /** Names of endpoints that nobody has resolved yet; without any choice the outcome waits for them. */
  readonly unresolved: ReadonlySet<string>;
}

/**
 * Decides where one captured outbound connection goes.
 *
 * Shape: reads one moment of the mesh; `originalDst` is canonical text. Pure, no await.
 * Returns a `Route`, or a `Refusal`: ILLEGAL_DESTINATION, REJECTED_DESTINATION, UNKNOWN_SERVICE_PORT, NO_HEALTHY_UPSTREAM,
 * UNRESOLVED_NAME, UNKNOWN_WAYPOINT, UNREACHABLE_NETWORK. The dependencies name all that was read: the outcome stands until one of them changes.
 * Limits: O(endpoints of the service).
 * Source: ztunnel src/proxy/outbound.rs build_request. Different on purpose: a waypoint that cannot be found refuses.
 */
export function resolveOutbound(
  view: MeshView,
  pods: LocalPods,
  source: Workload,
  originalDst: SocketAddress,
): OutboundDecision {
  return new Resolution(view, pods, source, originalDst).resolve();
}

class Resolution {
  readonly #view: MeshView;
  readonly #pods: LocalPods;
  readonly #source: Workload;
  readonly #originalDst: SocketAddress;
  readonly #dependencies = new Set<DependencyKey>();
  readonly #unresolved = new Set<string>();
  #nameFailed = false;

  constructor(view: MeshView, pods: LocalPods, source: Workload, originalDst: SocketAddress) {
    this.#view = view;
    this.#pods = pods;
    this.#source = source;
    this.#originalDst = originalDst;
    this.#dependencies.add(dependency.workload(source.uid));
    this.#dependencies.add(dependency.pod(source.uid));
  }

  resolve(): OutboundDecision {
    const { address, port } = this.#originalDst;
    if (port === HBONE_PORT && isLoopback(address)) return this.#decide(refuse('ILLEGAL_DESTINATION'));
    const workload = this.#findWorkloadByAddress(this.#source.network, address);
    if (workload) return this.#decide(this.#routeToWorkload(workload));
    const exact = findServiceAt(this.#view, this.#source, address, this.#dependencies);
    if (!exact && this.#isRejected(address)) return this.#decide(refuse('REJECTED_DESTINATION'));
    const service = exact ?? findServiceAround(this.#view, this.#source, address, this.#dependencies);
    if (!service) return this.#decide(this.#routePassthrough(''));
    const key = serviceKey(service);
    this.#dependencies.add(dependency.service(key));
    return this.#decide(this.#routeToService(service, key), service);
  }

  #decide(outcome: Route | Refusal, service?: Service): OutboundDecision {
    return { outcome, dependencies: this.#dependencies, unresolved: this.#unresolved, ...(service && { service }) };
  }

  #findWorkloadByAddress(network: string, address: string): Workload | undefined {
    this.#dependencies.add(dependency.address(network, address));
    const workload = this.#view.findWorkloadByAddress(network, address);
    if (workload) this.#dependencies.add(dependency.workload(workload.uid));
    return workload;
  }

  // It may have wanted HBONE or a waypoint: in plaintext, or by a range around it, it could pass by its policy.
  #isRejected(address: string): boolean {
    this.#dependencies.add(dependency.ranges(this.#source.network));
    return this.#view.isRejectedAddress(this.#source.network, address);
  }

  #routeToWorkload(workload: Workload): Route | Refusal {
    const { address, port } = this.#originalDst;
    // A workload that is its own tunnel end (a gateway) has, and dials, port 15008 for itself.
    if (port === HBONE_PORT && hasAgent(workload) && !this.#source.nativeTunnel) return refuse('ILLEGAL_DESTINATION');
    if (workload.waypoint) {
      const route = this.#routeToWaypoint(workload.waypoint, '');
      if (route) return route;
    }
    return toRoute('', [this.#hopTo(workload, address, port, [])]);
  }

  #routeToService(service: Service, key: string): Route | Refusal {
    if (service.waypoint) {
      const route = this.#routeToWaypoint(service.waypoint, key);
      if (route) return route;
    }
    if (service.loadBalancing?.mode === 'PASSTHROUGH') return this.#routePassthrough(key);
    const servicePort = findServicePort(service, this.#originalDst.port);
    if (!servicePort) return refuse('UNKNOWN_SERVICE_PORT');
    const identities = namedIdentities(service);
    const { candidates, elsewhere } = this.#select(service, key, servicePort);
    const choices: RouteChoice[] = [];
    for (const { workload, address, port } of candidates) {
      if (port === HBONE_PORT && hasAgent(this.#ownerOf(address, workload))) continue;
      choices.push(this.#hopTo(workload, address, port, identities));
    }
    if (choices.length > 0) return toRoute(key, choices);
    if (candidates.length > 0) return refuse('ILLEGAL_DESTINATION');
    if (this.#nameFailed || this.#unresolved.size > 0) return refuse('UNRESOLVED_NAME');
    return refuse(elsewhere ? 'UNREACHABLE_NETWORK' : 'NO_HEALTHY_UPSTREAM');
  }

  #select(service: Service, key: string, servicePort: ServicePort, depth = 0): Selection {
    this.#dependencies.add(dependency.endpoints(key));
    const endpoints = this.#view.endpointsOf(key);
    const inner: Candidate[] = [];
    const findAddresses: FindAddresses = (workload, port) => {
      const named = this.#findNamedService(workload.hostname, key);
      if (named === undefined) return this.#resolve(workload.hostname.toLowerCase());
      if (depth < NAMES_MAX) inner.push(...this.#selectNamed(named, port, depth + 1));
      return [];
    };
    const { address } = this.#originalDst;
    const { candidates, elsewhere } = selectEndpoints(
      this.#source,
      service,
      endpoints,
      servicePort,
      address,
      findAddresses,
    );
    return { candidates: [...candidates, ...inner], elsewhere };
  }

  /** The Service of the mesh that the name of an endpoint means, if it means one; a host that stands for itself is none. */
  #findNamedService(name: string, key: string): Service | undefined {
    const hostname = name.toLowerCase();
    this.#dependencies.add(dependency.hostname(hostname));
    const named = bestService(this.#source.namespace, this.#view.servicesByHostname(hostname));
    return named && serviceKey(named) !== key ? named : undefined;
  }

  // What a waypoint is to decide cannot be had past it.
  #selectNamed(service: Service, port: number, depth: number): readonly Candidate[] {
    const key = serviceKey(service);
    this.#dependencies.add(dependency.service(key));
    const servicePort = findServicePort(service, port);
    if (!servicePort || service.waypoint) return [];
    return this.#select(service, key, servicePort, depth).candidates;
  }

  #resolve(hostname: string): readonly string[] {
    this.#dependencies.add(dependency.name(hostname));
    const resolved = this.#view.findName(hostname);
    if (resolved?.kind === 'found') return resolved.addresses;
    if (resolved === undefined) this.#unresolved.add(hostname);
    else this.#nameFailed = true;
    return [];
  }

  // Undefined: the source is that waypoint, so the connection goes on to its destination.
  #routeToWaypoint(waypoint: GatewayAddress, key: string): Route | Refusal | undefined {
    const { destination } = waypoint;
    if (destination.kind === 'hostname') {
      return this.#routeToWaypointService(`${destination.namespace}/${destination.hostname}`, waypoint, key);
    }
    if (destination.network !== this.#source.network) return refuse('UNREACHABLE_NETWORK');
    const workload = this.#findWorkloadByAddress(destination.network, destination.address);
    if (workload?.uid === this.#source.uid) return undefined;
    if (workload) return toRoute(key, [this.#waypointHop(workload, destination.address, waypoint.hboneMtlsPort, [])]);
    const service = findServiceByAddress(this.#view, this.#source, destination.address, this.#dependencies);
    if (!service) return refuse('UNKNOWN_WAYPOINT');
    return this.#routeToWaypointService(serviceKey(service), waypoint, key);
  }

  #routeToWaypointService(waypointKey: string, waypoint: GatewayAddress, key: string): Route | Refusal | undefined {
    this.#dependencies.add(dependency.service(waypointKey));
    this.#dependencies.add(dependency.endpoints(waypointKey));
    if (this.#view.endpointsOf(waypointKey).has(this.#source.uid)) return undefined;
    const service = this.#view.findService(waypointKey);
    const servicePort = service && findServicePort(service, waypoint.hboneMtlsPort);
    if (!servicePort) return refuse('UNKNOWN_WAYPOINT');
    const identities = namedIdentities(service);
    const { candidates, elsewhere } = this.#select(service, waypointKey, servicePort);
    if (candidates.length === 0) return refuse(elsewhere ? 'UNREACHABLE_NETWORK' : 'UNKNOWN_WAYPOINT');
    return toRoute(
      key,
      candidates.map(({ workload, address, port }) => this.#waypointHop(workload, address, port, identities)),
    );
  }

  #waypointHop(waypoint: Workload, address: string, port: number, identities: readonly SpiffeId[]): RouteChoice {
    return {
      kind: 'hbone',
      weight: waypoint.capacity,
      nextHop: { address, port },
      hboneAuthority: formatSocketAddress(this.#originalDst),
      upstreamIdentities: [identityOf(waypoint), ...identities],
      destinationUid: waypoint.uid,
    };
  }

  #hopTo(endpoint: Workload, address: string, port: number, identities: readonly SpiffeId[]): RouteChoice {
    const workload = this.#ownerOf(address, endpoint);
    const kind = this.#hopKind(workload, address);
    return {
      kind,
      weight: endpoint.capacity,
      nextHop: { address, port: kind === 'hbone' ? HBONE_PORT : port },
      hboneAuthority: formatSocketAddress({ address, port }),
      upstreamIdentities: kind === 'passthrough' ? [] : [identityOf(workload), ...identities],
      destinationUid: workload.uid,
    };
  }

  // An endpoint of which only the address is known (of a slice written by hand, of a ServiceEntry, of a name) is the
  // workload that has this address, if one has: its identity is expected of it, and its own policy sees ours.
  #ownerOf(address: string, endpoint: Workload): Workload {
    if (endpoint.tunnelProtocol === 'HBONE' || addressRank(endpoint) > 0) return endpoint;
    return this.#findWorkloadByAddress(this.#source.network, address) ?? endpoint;
  }

  #hopKind(workload: Workload, address: string): RouteChoice['kind'] {
    if (workload.node === this.#source.node && workload.node !== '') {
      this.#dependencies.add(dependency.pod(workload.uid));
      const pod = this.#pods.findCapturedPod(workload.uid);
      const tunnelWanted =
        pod?.sameNodeMode === 'tunnel' || this.#pods.findCapturedPod(this.#source.uid)?.sameNodeMode === 'tunnel';
      // Also while the mesh does not know yet that the pod is captured: its plaintext listener would see no identity.
      // A handoff keeps the address of the client, which no destination of the other family could answer.
      if (pod) return tunnelWanted || !isSameFamily(address, this.#originalDst.address) ? 'hbone' : 'handoff';
    }
    return workload.tunnelProtocol === 'HBONE' ? 'hbone' : 'passthrough';
  }

  #routePassthrough(key: string): Route {
    return toRoute(key, [
      {
        kind: 'passthrough',
        weight: 1,
        nextHop: this.#originalDst,
        hboneAuthority: formatSocketAddress(this.#originalDst),
        upstreamIdentities: [],
        destinationUid: '',
      },
    ]);
  }
}

/** The identity that a workload's certificate must carry. */
function identityOf(workload: Workload): SpiffeId {
  const { trustDomain, namespace, serviceAccount } = workload;
  return { trustDomain, namespace, serviceAccount };
}

function isSameFamily(a: string, b: string): boolean {
  return a.includes(':') === b.includes(':');
}

function refuse(code: ErrorCode): Refusal {
  return { kind: 'refusal', code };
}

function toRoute(key: string, choices: readonly RouteChoice[]): Route {
  return { kind: 'route', serviceKey: key, choices: choices as Route['choices'] };
}

function findServicePort(service: Service, port: number): ServicePort | undefined {
  return service.ports.find((candidate) => candidate.servicePort === port);
}

// Names that are not SPIFFE IDs cannot be in a certificate of this mesh.
function namedIdentities(service: Service): SpiffeId[] {
  return service.subjectAltNames.flatMap((name) => parseSpiffeId(name) ?? []);
}

function hasAgent(workload: Workload): boolean {
  return workload.tunnelProtocol === 'HBONE' && !workload.nativeTunnel;
}
