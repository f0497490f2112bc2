// SPDX-License-Identifier: Apache-2.0

import { explainAuthorization, type PolicyTrace } from '../mesh/authorize.ts';
import { decideInbound, type InboundDecision } from '../mesh/decide-inbound.ts';
import { type MeshView, NETWORK } from '../mesh/view.ts';
import { parseAddress, type SocketAddress } from '../model/address.ts';
import { formatSpiffeId } from '../model/identity.ts';
import { describeOrigin } from '../model/policy-origin.ts';
import type { Allowance } from '../model/route.ts';
import type { Workload } from '../model/workload.ts';
import { describe, describeDependencies, describeRefusal, type ExplainedMesh, unknown } from './explain-words.ts';
import type { ExplainAnswer } from './facts.ts';
import { HttpError } from './http.ts';

/** A connection as it comes in at a pod. */
export interface Arrival {
  readonly destination: Workload;
  readonly to: SocketAddress;
  readonly sourceAddress: string;
  /** Who the source proves to be; absent for plaintext. */
  readonly identity: Workload | undefined;
}

/** Whether a connection from there, of that identity if it proves one, would be let in at an address of a pod. */
export function explainInbound(
  mesh: ExplainedMesh,
  source: { readonly workload: Workload | undefined; readonly address: string; readonly captured: boolean },
  to: SocketAddress,
): ExplainAnswer {
  const address = parseAddress(to.address);
  if (address === undefined)
    throw new HttpError(
      400,
      `${JSON.stringify(to.address)} is not an IP address; what comes in is asked of a pod's address`,
    );
  const destination = mesh.findWorkloadByAddress(NETWORK, address);
  if (destination === undefined) throw unknown(`no workload of this mesh has the address ${address}`);
  // A pod of the mesh proves who it is; everybody else is an address.
  const identity = source.captured ? source.workload : undefined;
  const arrival = { destination, to: { address, port: to.port }, sourceAddress: source.address, identity };
  const { outcome, service, deliverPort, dependencies } = decideArrival(mesh, arrival);
  // Refused before policy was asked: no policy has a say.
  const policies = deliverPort === 0 ? [] : tracePolicies(mesh, arrival, deliverPort);
  return {
    outcome: outcome.kind === 'allowance' ? describeAllowance(outcome) : describeRefusal(outcome),
    lines: [
      `source: ${source.workload === undefined ? `${source.address}, outside the mesh` : describe(source.workload)}`,
      `destination: ${describe(destination)}${service === undefined ? '' : `, as service ${service.namespace}/${service.hostname}`}`,
      ...(outcome.kind === 'allowance' ? [`delivered to port ${deliverPort}`] : []),
      ...policies.flatMap(describePolicy),
      ...describeDependencies(dependencies),
    ],
  };
}

/** Asks what the agent of the destination decides on by. */
export function decideArrival(mesh: MeshView, { destination, to, sourceAddress, identity }: Arrival): InboundDecision {
  return decideInbound(mesh, destination, {
    kind: 'InboundQuestion',
    question: 0n,
    pod: 0,
    security: identity === undefined ? 'none' : 'mutual_tls',
    identity: identity === undefined ? '' : formatSpiffeId(identity),
    source: { address: sourceAddress, port: 0 },
    destination: to,
    authority: '',
    service: '',
  });
}

export function describeAllowance({ policy }: Allowance): string {
  return policy === undefined ? 'allowed: no ALLOW policy selects the destination' : `allowed by ${policy}`;
}

function tracePolicies(mesh: MeshView, arrival: Arrival, destinationPort: number): readonly PolicyTrace[] {
  const { destination, to, sourceAddress, identity } = arrival;
  const connection = { destination, sourceAddress, destinationAddress: to.address, destinationPort };
  return explainAuthorization(mesh, { ...connection, ...(identity && { identity }) }).policies;
}

function describePolicy({ policy, action, dryRun, received, matched, clauses }: PolicyTrace): readonly string[] {
  if (!received) return [`policy ${policy}: it applies and was not received, or not understood, so it denies`];
  const told = (holds: boolean): string => (holds ? 'matches' : 'does not match');
  const origin = describeOrigin(policy);
  return [
    `policy ${policy} (${action}${dryRun ? ', dry run: reported only' : ''}): ${told(matched)}${describeClauses(matched, clauses.length)}${origin === undefined ? '' : `. ${origin}`}`,
    ...clauses.map((one) => `  rule ${one.rule}, clause ${one.clause}: ${told(one.matched)}`),
  ];
}

function describeClauses(matched: boolean, count: number): string {
  if (count > 0) return '';
  return matched ? ', a rule without conditions' : ', it has no rules';
}
