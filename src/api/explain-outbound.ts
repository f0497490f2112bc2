// SPDX-License-Identifier: Apache-2.0

import { type LocalPods, resolveOutbound } from '../mesh/resolve-outbound.ts';
import { formatSocketAddress, type SocketAddress } from '../model/address.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { Refusal, RouteChoice } from '../model/route.ts';
import type { Workload } from '../model/workload.ts';
import { type Arrival, decideArrival, describeAllowance } from './explain-inbound.ts';
import {
  describe,
  describeDependencies,
  describeRefusal,
  type ExplainedMesh,
  isCaptured,
  nameOf,
} from './explain-words.ts';
import type { ExplainAnswer } from './facts.ts';

/** What becomes of a connection at the end of one way, as far as this node knows. */
interface End {
  readonly kind: 'let in' | 'refused' | 'decided on another node' | 'nobody decides';
  readonly refusal?: Refusal;
  readonly lines: readonly string[];
}

export interface Dialler {
  readonly workload: Workload;
  readonly address: string;
  readonly captured: boolean;
}

/** Where a connection of a workload goes and, where this node has the destination, whether it is let in there. */
export function explainOutbound(
  mesh: ExplainedMesh,
  localPods: LocalPods,
  source: Dialler,
  to: SocketAddress,
): ExplainAnswer {
  const { workload, captured } = source;
  const { outcome, service, dependencies } = resolveOutbound(mesh, localPods, workload, to);
  const ways = outcome.kind === 'route' ? outcome.choices : [];
  const ends = ways.map((choice) => findEnd(mesh, localPods, source, choice));
  const past = `${nameOf(workload)} is not captured: its connections go past the mesh, in plaintext; the destination decides (STRICT refuses)`;
  return {
    outcome: !captured ? past : outcome.kind === 'route' ? summarize(ends) : describeRefusal(outcome),
    lines: [
      `source: ${describe(workload)}`,
      `destination: ${formatSocketAddress(to)}${service === undefined ? '' : ` (service ${service.namespace}/${service.hostname})`}`,
      ...ways.flatMap((choice, index) => [
        captured ? describeChoice(choice) : `plaintext, at ${choice.hboneAuthority}`,
        ...(ends[index]?.lines ?? []).map((line) => `  ${line}`),
      ]),
      ...describeDependencies(dependencies),
    ],
  };
}

function summarize(ends: readonly End[]): string {
  const ways = `goes ${ends.length} way${ends.length === 1 ? '' : 's'}`;
  const refusals = ends.flatMap(({ refusal }) => refusal ?? []);
  const [first] = refusals;
  if (first !== undefined && refusals.length === ends.length) return `${ways}, and there is ${describeRefusal(first)}`;
  const counts = (['let in', 'refused', 'decided on another node'] as const).flatMap((kind) => {
    const count = ends.filter((end) => end.kind === kind).length;
    return count === 0 ? [] : [ends.length === 1 ? kind : `${count} ${kind}`];
  });
  return counts.length === 0 ? ways : `${ways}: ${counts.join(', ')}`;
}

function findEnd(mesh: ExplainedMesh, localPods: LocalPods, source: Dialler, choice: RouteChoice): End {
  const destination = mesh.findWorkload(choice.destinationUid);
  const to = parseAuthority(choice.hboneAuthority);
  if (destination === undefined) return { kind: 'nobody decides', lines: [] };
  // A waypoint is asked on behalf of somebody else, and has its own say.
  if (!destination.addresses.includes(to.address)) return { kind: 'nobody decides', lines: [] };
  if (!isCaptured(localPods, destination))
    return { kind: 'nobody decides', lines: ['the destination is not in the mesh: no policy holds there'] };
  if (localPods.findCapturedPod(destination.uid) === undefined) return elsewhere(source, destination, to);
  const identity = source.captured && choice.kind !== 'passthrough' ? source.workload : undefined;
  return endHere(mesh, { destination, to, sourceAddress: source.address, identity });
}

function endHere(mesh: ExplainedMesh, arrival: Arrival): End {
  const { outcome } = decideArrival(mesh, arrival);
  return outcome.kind === 'allowance'
    ? { kind: 'let in', lines: [`there ${describeAllowance(outcome)}`] }
    : { kind: 'refused', refusal: outcome, lines: [`there ${describeRefusal(outcome)}`] };
}

function elsewhere({ workload }: Dialler, destination: Workload, to: SocketAddress): End {
  const where = destination.node === '' ? "its own machine's agent" : `the agent of node ${destination.node}`;
  const question = `groundwire explain --direction inbound --from ${nameOf(workload)} --to ${formatSocketAddress(to)}`;
  return { kind: 'decided on another node', lines: [`whether it is let in, ${where} decides; ask there: ${question}`] };
}

// Made by formatSocketAddress: nothing else can be in it.
function parseAuthority(authority: string): SocketAddress {
  const colon = authority.lastIndexOf(':');
  return { address: authority.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(authority.slice(colon + 1)) };
}

function describeChoice({ kind, nextHop, weight, hboneAuthority, upstreamIdentities, destinationUid }: RouteChoice) {
  const who = upstreamIdentities.length === 0 ? '' : ` as ${upstreamIdentities.map(formatSpiffeId).join(' or ')}`;
  const inner = kind === 'hbone' ? `, CONNECT ${hboneAuthority}` : '';
  return `${kind} to ${formatSocketAddress(nextHop)}${who}${inner}, weight ${weight}${destinationUid === '' ? '' : `, workload ${destinationUid}`}`;
}
