// SPDX-License-Identifier: Apache-2.0

import { decideInbound } from '../mesh/decide-inbound.ts';
import { type LocalPods, resolveOutbound } from '../mesh/resolve-outbound.ts';
import { type MeshView, NETWORK } from '../mesh/view.ts';
import { formatSocketAddress, parseAddress } from '../model/address.ts';
import { ERROR_TABLE } from '../model/errors.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { Allowance, Refusal, RouteChoice } from '../model/route.ts';
import type { Workload } from '../model/workload.ts';
import type { ExplainAnswer, ExplainQuestion, MeshContents } from './facts.ts';

/** Asks the decision functions themselves and puts what they say, and what they looked at, in words. */
export function formatDecision(
  mesh: MeshView & Pick<MeshContents, 'workloads'>,
  localPods: LocalPods,
  question: ExplainQuestion,
): ExplainAnswer | undefined {
  const source = findWorkload(mesh, question.from);
  if (question.direction === 'outbound') return source && explainOutbound(mesh, localPods, source, question);
  return explainInbound(mesh, source, question);
}

function explainOutbound(
  mesh: MeshView,
  localPods: LocalPods,
  source: Workload,
  { to }: ExplainQuestion,
): ExplainAnswer {
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

function explainInbound(
  mesh: MeshView & Pick<MeshContents, 'workloads'>,
  source: Workload | undefined,
  question: ExplainQuestion,
): ExplainAnswer | undefined {
  const { to } = question;
  const destination = mesh.findWorkloadByAddress(NETWORK, to.address);
  const address = source?.addresses[0] ?? parseAddress(question.from);
  if (destination === undefined || address === undefined) return undefined;
  // A pod of the mesh proves who it is; everybody else is an address.
  const proves = source !== undefined && source.tunnelProtocol === 'HBONE';
  const { outcome, service, deliverPort, dependencies } = decideInbound(mesh, destination, {
    kind: 'InboundQuestion',
    question: 0n,
    pod: 0,
    security: proves ? 'mutual_tls' : 'none',
    identity: proves ? formatSpiffeId(source) : '',
    source: { address, port: 0 },
    destination: to,
    authority: '',
  });
  const lines = [
    `source: ${source === undefined ? `${address}, outside the mesh` : describe(source)}`,
    `destination: ${describe(destination)}${service === undefined ? '' : `, as service ${service.namespace}/${service.hostname}`}`,
    ...(outcome.kind === 'allowance' ? [`delivered to port ${deliverPort}`] : []),
    ...[...dependencies].sort().map((key) => `looked at: ${key}`),
  ];
  return { outcome: outcome.kind === 'allowance' ? describeAllowance(outcome) : describeRefusal(outcome), lines };
}

function findWorkload(mesh: MeshView & Pick<MeshContents, 'workloads'>, from: string): Workload | undefined {
  const address = parseAddress(from);
  if (address !== undefined) return mesh.findWorkloadByAddress(NETWORK, address);
  return [...mesh.workloads.values()].find((workload) => `${workload.namespace}/${workload.name}` === from);
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
