// SPDX-License-Identifier: Apache-2.0

import type { ErrorCode } from '../model/errors.ts';
import { parseSpiffeId, type SpiffeId } from '../model/identity.ts';
import { ConsultedFieldBit, type InboundQuestion } from '../model/messages.gen.ts';
import { type Allowance, HBONE_PORT, type Refusal } from '../model/route.ts';
import type { Service } from '../model/service.ts';
import { serviceKey } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { AuthorizationDecision, InboundConnection } from './authorize.ts';
import { authorize } from './authorize.ts';
import { targetPortOf } from './load-balance.ts';
import { bestService } from './match-service.ts';
import { CONSULTED_ALL } from './question.ts';
import type { DependencyKey, MeshView } from './view.ts';
import { dependency } from './view.ts';

export interface InboundDecision {
  readonly outcome: Allowance | Refusal;
  readonly deliverPort: number;
  /** Bits of ConsultedFieldBit: connections to this pod alike in them, and in security, share the outcome. */
  readonly consulted: number;
  readonly dependencies: ReadonlySet<DependencyKey>;
  readonly service?: Service;
  /** Who the source proved to be; then the outcome is for that identity alone, so that it can be told of it. */
  readonly identity?: SpiffeId;
  readonly dryRunMatches: readonly string[];
}

/**
 * Decides whether, and to which port, an inbound connection is delivered to a pod of this node.
 *
 * The flow: 1. the address must be the pod's; 2. a named destination becomes a port; 3. the HBONE port is the agent's, and refused;
 * 4. policy, against the port of the application.
 *
 * Shape: pure. Besides the codes of `authorize`: HBONE_WRONG_ADDRESS, UNKNOWN_SERVICE, UNKNOWN_SERVICE_PORT,
 * ILLEGAL_DESTINATION, UNSERVED_TUNNEL. An allowance always counts the destination port as consulted, since it also says where to deliver,
 * and so does a refusal by a pod that serves Services, since it says which of them.
 * Source: ztunnel src/proxy/inbound.rs validate_destination, find_inbound_upstream.
 */
export function decideInbound(view: MeshView, destination: Workload, question: InboundQuestion): InboundDecision {
  const dependencies = new Set<DependencyKey>([dependency.workload(destination.uid), dependency.pod(destination.uid)]);
  const refuse = (code: ErrorCode, consulted: number): InboundDecision => ({
    outcome: { kind: 'refusal', code },
    deliverPort: 0,
    consulted,
    dependencies,
    dryRunMatches: [],
  });
  // An identity that is not of the mesh's form proves nothing: policy sees it as plaintext. To refuse it here would make
  // every verdict depend on the identity, or let it in through a verdict that did not.
  const identity = question.security === 'none' ? undefined : parseSpiffeId(question.identity);
  // The application behind it expects a header before the bytes, or another port.
  const tunnel = destination.applicationTunnel;
  if (tunnel && (tunnel.protocol !== 'NONE' || tunnel.port !== 0)) return refuse('UNSERVED_TUNNEL', 0);
  const named = question.authority !== '';
  if (!named && question.security !== 'none' && !destination.addresses.includes(question.destination.address)) {
    // The address is not part of the cache's key: with all bits set a wrong one can only spoil its sender's own entry.
    return refuse('HBONE_WRONG_ADDRESS', CONSULTED_ALL);
  }
  const target = named
    ? resolveAuthority(view, destination, question.authority, dependencies)
    : {
        port: question.destination.port,
        ...findDialled(view, destination, question, dependencies),
      };
  if (typeof target === 'string')
    return refuse(target, ConsultedFieldBit.destinationPort | ConsultedFieldBit.authority);
  // A named destination may want another port than a numbered one with the same number: the two never share an entry.
  const portBits = ConsultedFieldBit.destinationPort | ConsultedFieldBit.authority;
  if (target.port === HBONE_PORT) return refuse('ILLEGAL_DESTINATION', portBits);
  const decision = authorizeAtEveryAddress(view, {
    destination,
    ...(identity && { identity }),
    sourceAddress: question.source.address,
    destinationAddress: question.destination.address,
    destinationPort: target.port,
  });
  for (const key of decision.dependencies) dependencies.add(key);
  const { outcome, consulted } = decision;
  // The Service that a refusal is counted for goes by the port too.
  const isTelling = outcome.kind === 'allowance' || destination.services.size > 0;
  let bits = isTelling || consulted.has('destinationPort') ? portBits : 0;
  if (target.isHinted) bits |= ConsultedFieldBit.service;
  if (identity || consulted.has('identity')) bits |= ConsultedFieldBit.identity;
  // The family of the source tells that of the destination, and within it every address counts: authorizeAtEveryAddress.
  if (consulted.has('sourceAddress') || consulted.has('destinationAddress')) bits |= ConsultedFieldBit.sourceAddress;
  return {
    outcome,
    deliverPort: target.port,
    consulted: bits,
    dependencies,
    dryRunMatches: decision.dryRunMatches,
    ...(target.service && { service: target.service }),
    ...(identity && { identity }),
  };
}

// The engine's cache has no key for the destination's address. Where a rule looks at it and the pod has several of
// that family, the strictest outcome of all of them stands for each.
function authorizeAtEveryAddress(view: MeshView, connection: InboundConnection): AuthorizationDecision {
  const decision = authorize(view, connection);
  const isIpv6 = connection.destinationAddress.includes(':');
  const others = connection.destination.addresses.filter(
    (address) => address.includes(':') === isIpv6 && address !== connection.destinationAddress,
  );
  if (others.length === 0 || !decision.consulted.has('destinationAddress')) return decision;
  const all = [decision, ...others.map((address) => authorize(view, { ...connection, destinationAddress: address }))];
  return {
    ...(all.find(({ outcome }) => outcome.kind === 'refusal') ?? decision),
    consulted: new Set(all.flatMap(({ consulted }) => [...consulted])),
  };
}

function resolveAuthority(
  view: MeshView,
  destination: Workload,
  authority: string,
  dependencies: Set<DependencyKey>,
): { port: number; service: Service; isHinted: boolean } | 'UNKNOWN_SERVICE' | 'UNKNOWN_SERVICE_PORT' {
  const match = /^([^:]+):([0-9]{1,5})$/.exec(authority);
  const hostname = match?.[1]?.toLowerCase();
  if (!match || !hostname) return 'UNKNOWN_SERVICE';
  dependencies.add(dependency.hostname(hostname));
  const serving = view.servicesByHostname(hostname).filter((service) => destination.services.has(serviceKey(service)));
  for (const service of serving) dependencies.add(dependency.service(serviceKey(service)));
  const service = bestService(destination.namespace, serving);
  if (!service) return 'UNKNOWN_SERVICE';
  const servicePort = service.ports.find((port) => port.servicePort === Number(match[2]));
  if (!servicePort) return 'UNKNOWN_SERVICE_PORT';
  const port = targetPortOf(servicePort, destination.services.get(serviceKey(service)) ?? []);
  return port === 0 ? 'UNKNOWN_SERVICE_PORT' : { port, service, isHinted: false };
}

// A connection to a pod's own address does not say which Service it was meant for. Where several lead to the port, the
// source may have said which it dialled (a handoff always knows); else the first one will do.
function findDialled(
  view: MeshView,
  destination: Workload,
  { destination: { port }, service: hint }: InboundQuestion,
  dependencies: Set<DependencyKey>,
): { service: Service | undefined; isHinted: boolean } {
  const found: Service[] = [];
  for (const [key, ports] of destination.services) {
    dependencies.add(dependency.service(key));
    const service = view.findService(key);
    if (service?.ports.some((servicePort) => targetPortOf(servicePort, ports) === port)) found.push(service);
  }
  const isHinted = found.length > 1;
  const dialled = isHinted ? found.find(({ hostname }) => hostname.toLowerCase() === hint.toLowerCase()) : undefined;
  return { service: dialled ?? found[0], isHinted };
}
