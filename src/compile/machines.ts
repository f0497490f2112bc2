// SPDX-License-Identifier: Apache-2.0

import { parseAddress } from '../model/address.ts';
import type { ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { MachineSpec, MeshObject, ServiceEntryObject, WorkloadEntryObject } from '../objects/objects.ts';
import type { EntryHosts } from './entry-hosts.ts';
import {
  type BackendPort,
  blankWorkload,
  canonicalNames,
  labelsOf,
  noteOn,
  resolvePorts,
  type WorkloadContext,
} from './workloads.ts';

/** Compiles a WorkloadEntry: a machine outside Kubernetes that Services and ServiceEntries may select. */
export function compileWorkloadEntry(object: WorkloadEntryObject, context: WorkloadContext): Workload | undefined {
  const { meta, machine } = object;
  if (!isRoutable(object, machine, context)) return undefined;
  const labels = labelsOf(object);
  const waypoint = context.findWaypoint(object, 'workload');
  const services = new Map(
    context.backends.find(meta.namespace, labels).map(({ key, ports }) => [key, machinePorts(ports, machine)] as const),
  );
  return {
    ...machineWorkload(object, machine, labels, context),
    uid: `${context.settings.clusterId}/networking.istio.io/WorkloadEntry/${meta.namespace}/${meta.name}`,
    ...(waypoint && { waypoint }),
    services,
    authorizationPolicies: context.findPolicies(meta.namespace, labels),
  };
}

/** Compiles the endpoints of a ServiceEntry: those written in it, or the host itself when DNS is to find them. */
export function compileEntryEndpoints(
  object: ServiceEntryObject,
  context: Pick<WorkloadContext, 'settings' | 'notices' | 'findPolicies'>,
  entryHosts: EntryHosts,
): Workload[] {
  const { meta, hosts } = object;
  const byDns = object.resolution === 'DNS' || object.resolution === 'DNS_ROUND_ROBIN';
  const implicit = byDns && object.endpoints.length === 0 && object.workloadSelector === undefined;
  const machines = implicit ? hosts.map((host) => ({ ...IMPLICIT, address: host })) : object.endpoints;
  return machines.flatMap((machine) => {
    if (!isRoutable(object, machine, context)) return [];
    const served = (implicit ? [machine.address] : hosts).flatMap((host) => {
      const ports = entryHosts.portsOf(object, host);
      return ports === undefined ? [] : [[`${meta.namespace}/${host}`, machinePorts(ports, machine)] as const];
    });
    if (served.length === 0) return [];
    return [
      {
        ...machineWorkload(object, machine, machine.labels, context),
        uid: `${context.settings.clusterId}/networking.istio.io/ServiceEntry/${meta.namespace}/${meta.name}/${machine.address}`,
        services: new Map(served),
        authorizationPolicies: context.findPolicies(meta.namespace, machine.labels),
      },
    ];
  });
}

const IMPLICIT: MachineSpec = {
  address: '',
  ports: new Map(),
  labels: new Map(),
  network: '',
  serviceAccount: '',
  weight: 1,
};

function machineWorkload(
  { meta }: MeshObject,
  machine: MachineSpec,
  labels: ReadonlyMap<string, string>,
  { settings }: Pick<WorkloadContext, 'settings'>,
): Omit<Workload, 'uid'> {
  const isAddress = parseAddress(machine.address) !== undefined;
  return {
    ...blankWorkload(settings),
    name: meta.name,
    namespace: meta.namespace,
    addresses: isAddress ? [machine.address] : [],
    hostname: isAddress ? '' : machine.address,
    network: machine.network || settings.network,
    tunnelProtocol: labels.get('networking.istio.io/tunnel') === 'http' ? 'HBONE' : 'NONE',
    nativeTunnel: labels.get('networking.istio.io/tunnel') === 'http',
    serviceAccount: machine.serviceAccount || 'default',
    ...canonicalNames(labels, meta.name),
    workloadName: meta.name,
    ...(machine.locality && { locality: machine.locality }),
    capacity: Math.max(1, machine.weight),
  };
}

// What a machine says of a port by name comes before what its Service says.
function machinePorts(ports: readonly BackendPort[], machine: MachineSpec): ServicePort[] {
  const own = ports.map((port) => ({ ...port, targetPort: machine.ports.get(port.name) ?? port.targetPort }));
  return resolvePorts(own, (name) => machine.ports.get(name));
}

function isRoutable(object: MeshObject, machine: MachineSpec, context: Pick<WorkloadContext, 'notices'>): boolean {
  if (machine.address !== '' && !machine.address.startsWith('unix://') && !machine.address.startsWith('*')) return true;
  noteOn(
    context,
    'ENDPOINT_DROPPED',
    object,
    `endpoint "${machine.address}" is left out: it has no address that a node can dial`,
  );
  return false;
}
