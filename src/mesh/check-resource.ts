// SPDX-License-Identifier: Apache-2.0

import { addressBytes, parseAddress } from '../model/address.ts';
import type { AddressRange, Authorization, PolicyMatch } from '../model/policy.ts';
import type { GatewayAddress, NetworkAddress, Service, ServicePort } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';

/** Why a workload cannot be used, or `undefined` when it can. */
export function checkWorkload(workload: Workload): string | undefined {
  if (workload.uid === '') return 'uid is empty';
  for (const address of workload.addresses) {
    if (parseAddress(address) !== address) return `addresses: "${address}" is not a canonical IP address`;
  }
  if (!Number.isInteger(workload.capacity) || workload.capacity < 0) return 'capacity is not a whole number';
  for (const [key, ports] of workload.services) {
    if (!key.includes('/')) return `services: "${key}" is not namespace/hostname`;
    const reason = checkPorts(ports);
    if (reason) return `services["${key}"]: ${reason}`;
  }
  return checkGateway('waypoint', workload.waypoint) ?? checkGateway('networkGateway', workload.networkGateway);
}

/** Why a Service cannot be used, or `undefined` when it can. */
export function checkService(service: Service): string | undefined {
  if (service.hostname === '') return 'hostname is empty';
  for (const address of service.addresses) {
    const reason = checkNetworkAddress(address);
    if (reason) return `addresses: ${reason}`;
  }
  return checkPorts(service.ports) ?? checkGateway('waypoint', service.waypoint);
}

/**
 * Why a policy cannot be used, or `undefined` when it can.
 *
 * A part that cannot be understood rejects the whole policy: a DENY whose only port is out of range would otherwise
 * be a DENY that never fires.
 */
export function checkPolicy(policy: Authorization): string | undefined {
  if (policy.name === '') return 'name is empty';
  for (const [r, rule] of policy.rules.entries()) {
    for (const [c, clause] of rule.clauses.entries()) {
      for (const [m, match] of clause.matches.entries()) {
        const reason = checkMatch(match);
        if (reason) return `rules[${r}].clauses[${c}].matches[${m}].${reason}`;
      }
    }
  }
  return undefined;
}

function checkMatch(match: PolicyMatch): string | undefined {
  for (const field of ['sourceIps', 'notSourceIps', 'destinationIps', 'notDestinationIps'] as const) {
    for (const range of match[field]) {
      const reason = checkRange(range);
      if (reason) return `${field}: ${reason}`;
    }
  }
  for (const field of ['destinationPorts', 'notDestinationPorts'] as const) {
    for (const port of match[field]) if (!isPort(port)) return `${field}: ${port} is not a port`;
  }
  return undefined;
}

function checkRange(range: AddressRange): string | undefined {
  if (parseAddress(range.address) !== range.address) return `"${range.address}" is not a canonical IP address`;
  const bits = addressBytes(range.address).length * 8;
  if (!Number.isInteger(range.prefixLength) || range.prefixLength < 0 || range.prefixLength > bits) {
    return `prefix length ${range.prefixLength} of "${range.address}" is not within 0 and ${bits}`;
  }
  return undefined;
}

function checkNetworkAddress(address: NetworkAddress): string | undefined {
  if (parseAddress(address.address) !== address.address) {
    return `"${address.address}" is not a canonical IP address`;
  }
  if (address.prefixLength === undefined) return undefined;
  return checkRange({ address: address.address, prefixLength: address.prefixLength });
}

function checkGateway(field: string, gateway: GatewayAddress | undefined): string | undefined {
  if (!gateway) return undefined;
  if (!isPort(gateway.hboneMtlsPort)) return `${field}: ${gateway.hboneMtlsPort} is not a port`;
  const { destination } = gateway;
  if (destination.kind === 'hostname') return destination.hostname === '' ? `${field}: hostname is empty` : undefined;
  if (parseAddress(destination.address) === destination.address) return undefined;
  return `${field}: "${destination.address}" is not a canonical IP address`;
}

function checkPorts(ports: readonly ServicePort[]): string | undefined {
  for (const { servicePort, targetPort } of ports) {
    if (!isPort(servicePort)) return `servicePort ${servicePort} is not a port`;
    if (!isPort(targetPort)) return `targetPort ${targetPort} is not a port`;
  }
  return undefined;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= 65_535;
}
