// SPDX-License-Identifier: Apache-2.0

import { explainAuthorization, type PolicyTrace } from '../mesh/authorize.ts';
import { decideInbound } from '../mesh/decide-inbound.ts';
import { bestService } from '../mesh/match-service.ts';
import { type LocalPods, resolveOutbound } from '../mesh/resolve-outbound.ts';
import { type MeshView, NETWORK } from '../mesh/view.ts';
import { addressBytes, formatSocketAddress, parseAddress } from '../model/address.ts';
import { ERROR_TABLE } from '../model/errors.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { Allowance, Refusal, RouteChoice } from '../model/route.ts';
import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { ExplainAnswer, ExplainQuestion, MeshContents } from './facts.ts';
import { HttpError } from './http.ts';

/**
 * Asks the decision functions themselves and puts what they say, and what they looked at, in words.
 *
 * Throws `HttpError` 400 for what is neither an address nor a name, 404 for what this agent does not know.
 */
export function formatDecision(mesh: ExplainedMesh, localPods: LocalPods, question: ExplainQuestion): ExplainAnswer {
  const source = findSource(mesh, question.from);
  if (question.direction === 'inbound') return explainInbound(mesh, source, question);
  if (source.workload === undefined) throw unknown(`no workload of this mesh has the address ${question.from}`);
  return explainOutbound(mesh, localPods, source.workload, question);
}

type ExplainedMesh = MeshView & Pick<MeshContents, 'workloads' | 'services'>;

/** Who connects: a workload, or an address that is none's. */
interface Source {
  readonly workload: Workload | undefined;
  readonly address: string;
}

function unknown(reason: string): HttpError {
  return new HttpError(404, `${reason}, as far as this agent knows`);
}

function explainOutbound(
  mesh: ExplainedMesh,
  localPods: LocalPods,
  source: Workload,
  question: ExplainQuestion,
): ExplainAnswer {
  const to = { address: findDestination(mesh, source, question.to.address), port: question.to.port };
  const { outcome, service, dependencies } = resolveOutbound(mesh, localPods, source, to);
  const lines = [
    `source: ${describe(source)}`,
    `destination: ${formatSocketAddress(to)}${service === undefined ? '' : ` (service ${service.namespace}/${service.hostname})`}`,
    ...(outcome.kind === 'route' ? outcome.choices.map((choice) => describeChoice(choice)) : []),
    ...[...dependencies].sort().map((key) => `looked at: ${key}`),
  ];
  return {
    outcome:
      outcome.kind === 'route'
        ? `goes ${outcome.choices.length} way${outcome.choices.length === 1 ? '' : 's'}`
        : describeRefusal(outcome),
    lines,
  };
}

function explainInbound(mesh: ExplainedMesh, source: Source, question: ExplainQuestion): ExplainAnswer {
  const { address } = question.to;
  const destinationAddress = parseAddress(address);
  if (destinationAddress === undefined)
    throw new HttpError(
      400,
      `${JSON.stringify(address)} is not an IP address; what comes in is asked of a pod's address`,
    );
  const destination = mesh.findWorkloadByAddress(NETWORK, destinationAddress);
  if (destination === undefined) throw unknown(`no workload of this mesh has the address ${destinationAddress}`);
  // A pod of the mesh proves who it is; everybody else is an address.
  const identity = source.workload?.tunnelProtocol === 'HBONE' ? source.workload : undefined;
  const { outcome, service, deliverPort, dependencies } = decideInbound(mesh, destination, {
    kind: 'InboundQuestion',
    question: 0n,
    pod: 0,
    security: identity === undefined ? 'none' : 'mutual_tls',
    identity: identity === undefined ? '' : formatSpiffeId(identity),
    source: { address: source.address, port: 0 },
    destination: { address: destinationAddress, port: question.to.port },
    authority: '',
  });
  // Refused before policy was asked: no policy has a say.
  const policies =
    deliverPort === 0
      ? []
      : explainAuthorization(mesh, {
          destination,
          ...(identity && { identity }),
          sourceAddress: source.address,
          destinationAddress,
          destinationPort: deliverPort,
        }).policies;
  const lines = [
    `source: ${source.workload === undefined ? `${source.address}, outside the mesh` : describe(source.workload)}`,
    `destination: ${describe(destination)}${service === undefined ? '' : `, as service ${service.namespace}/${service.hostname}`}`,
    ...(outcome.kind === 'allowance' ? [`delivered to port ${deliverPort}`] : []),
    ...policies.flatMap(describePolicy),
    ...[...dependencies].sort().map((key) => `looked at: ${key}`),
  ];
  return { outcome: outcome.kind === 'allowance' ? describeAllowance(outcome) : describeRefusal(outcome), lines };
}

function describePolicy({ policy, action, dryRun, received, matched, clauses }: PolicyTrace): readonly string[] {
  if (!received) return [`policy ${policy}: it applies and was not received, or not understood, so it denies`];
  const told = (holds: boolean): string => (holds ? 'matches' : 'does not match');
  return [
    `policy ${policy} (${action}${dryRun ? ', dry run: reported only' : ''}): ${told(matched)}${clauses.length === 0 ? ', it has no rules' : ''}`,
    ...clauses.map((one) => `  rule ${one.rule}, clause ${one.clause}: ${told(one.matched)}`),
  ];
}

function findSource(mesh: ExplainedMesh, from: string): Source {
  const address = parseAddress(from);
  if (address !== undefined) return { workload: mesh.findWorkloadByAddress(NETWORK, address), address };
  if (!/^[^/\s]+\/[^/\s]+$/.test(from))
    throw new HttpError(400, `${JSON.stringify(from)} is neither NAMESPACE/POD nor an IP address`);
  const workload = [...mesh.workloads.values()].find((one) => `${one.namespace}/${one.name}` === from);
  const [own] = workload?.addresses ?? [];
  if (own === undefined) throw unknown(`${from} is not a workload of this mesh`);
  return { workload, address: own };
}

/** The address itself, canonical; of a name, an address of the Service that the source would mean by it. */
function findDestination(mesh: ExplainedMesh, source: Workload, name: string): string {
  const address = parseAddress(name);
  if (address !== undefined) return address;
  const hostname = name.toLowerCase();
  // As a pod's resolv.conf completes it: in its own namespace, in another one, or not at all.
  const isMeant = (service: Service): boolean =>
    [service.hostname, `${service.name}.${service.namespace}`, `${service.name}.${service.namespace}.svc`].includes(
      hostname,
    ) ||
    (service.name === hostname && service.namespace === source.namespace);
  const service = bestService(source.namespace, [...mesh.services.values()].filter(isMeant));
  if (service === undefined)
    throw new HttpError(400, `${JSON.stringify(name)} is neither an IP address nor a Service of this mesh`);
  const own = service.addresses.find(
    ({ network, address: one, prefixLength = addressBytes(one).length * 8 }) =>
      network === NETWORK && prefixLength === addressBytes(one).length * 8,
  );
  if (own === undefined)
    throw new HttpError(400, `service ${service.namespace}/${service.hostname} has no address; name one of its pods'`);
  return own.address;
}

function describe(workload: Workload): string {
  return `${workload.namespace}/${workload.name} (${workload.addresses.join(', ')}; ${formatSpiffeId(workload)}; ${workload.tunnelProtocol === 'HBONE' ? 'in the mesh' : 'not in the mesh'})`;
}

function describeChoice(choice: RouteChoice): string {
  const { kind, nextHop, weight, hboneAuthority, upstreamIdentities, destinationUid } = choice;
  const who = upstreamIdentities.length === 0 ? '' : ` as ${upstreamIdentities.map(formatSpiffeId).join(' or ')}`;
  const inner = kind === 'hbone' ? `, CONNECT ${hboneAuthority}` : '';
  return `${kind} to ${formatSocketAddress(nextHop)}${who}${inner}, weight ${weight}${destinationUid === '' ? '' : `, workload ${destinationUid}`}`;
}

function describeRefusal({ code, policy }: Refusal): string {
  const { message, hint } = ERROR_TABLE[code];
  return `refused: ${message} (${code})${policy === undefined ? '' : ` by ${policy}`}. ${hint}`;
}

function describeAllowance({ policy }: Allowance): string {
  return policy === undefined ? 'allowed: no ALLOW policy selects the destination' : `allowed by ${policy}`;
}
