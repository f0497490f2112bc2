// SPDX-License-Identifier: Apache-2.0

import { bestService } from '../mesh/match-service.ts';
import type { LocalPods } from '../mesh/resolve-outbound.ts';
import { NETWORK } from '../mesh/view.ts';
import { addressBytes, parseAddress } from '../model/address.ts';
import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { explainInbound } from './explain-inbound.ts';
import { explainOutbound } from './explain-outbound.ts';
import { type ExplainedMesh, isCaptured, nameOf, unknown } from './explain-words.ts';
import type { ExplainAnswer, ExplainQuestion } from './facts.ts';
import { HttpError } from './http.ts';

/**
 * Asks the decision functions themselves and puts what they say, and what they looked at, in words.
 *
 * Throws `HttpError` 400 for what is neither an address nor a name, 404 for what this agent does not know.
 */
export function formatDecision(mesh: ExplainedMesh, localPods: LocalPods, question: ExplainQuestion): ExplainAnswer {
  const { workload, address } = findSource(mesh, question.from);
  const captured = workload !== undefined && isCaptured(localPods, workload);
  if (question.direction === 'inbound') return explainInbound(mesh, { workload, address, captured }, question.to);
  if (workload === undefined) throw unknown(`no workload of this mesh has the address ${question.from}`);
  const to = { address: findDestination(mesh, workload, question.to.address), port: question.to.port };
  return explainOutbound(mesh, localPods, { workload, address, captured }, to);
}

/** Who connects: a workload, or an address that is none's. */
interface Source {
  readonly workload: Workload | undefined;
  readonly address: string;
}

function findSource(mesh: ExplainedMesh, from: string): Source {
  const address = parseAddress(from);
  if (address !== undefined) return { workload: mesh.findWorkloadByAddress(NETWORK, address), address };
  if (!/^[^/\s]+\/[^/\s]+$/.test(from))
    throw new HttpError(400, `${JSON.stringify(from)} is neither NAMESPACE/POD nor an IP address`);
  const workload = [...mesh.workloads.values()].find((one) => nameOf(one) === from);
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
