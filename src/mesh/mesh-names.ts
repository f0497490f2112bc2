// SPDX-License-Identifier: Apache-2.0

// What the names of the mesh stand for, as seen by one client. Which records they have is resolve-name.ts's matter.

import { isRange, parseAddress } from '../model/address.ts';
import { type Service, serviceKey } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { targetPortOf } from './load-balance.ts';
import { bestService } from './match-service.ts';
import type { Endpoint, MeshView } from './view.ts';

/** What a name stands for. */
export interface FoundName {
  readonly service: Service;
  /** Those that the name means of the Service's endpoints; absent: the Service itself. */
  readonly endpoints?: readonly Endpoint[];
  /** The name without the suffix that the client's resolver had appended; absent when the name was meant as it is. */
  readonly canonicalName?: string;
}

const MESH_NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
const SRV_NAME = /^_([a-z0-9-]+)\._(tcp|udp|sctp)\.(.+)$/;
const REVERSE_V4 = /^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.in-addr\.arpa$/;
const REVERSE_V6 = /^([0-9a-f]\.){32}ip6\.arpa$/;

export interface SrvRecord {
  readonly port: number;
  readonly target: string;
}

/** The names of the mesh for one client. Limits: O(labels) lookups, O(endpoints) where a name means single ones. */
export class MeshNames {
  readonly #view: MeshView;
  readonly #client: Workload;
  readonly #clusterDomain: string;

  constructor(view: MeshView, client: Workload, clusterDomain: string) {
    this.#view = view;
    this.#client = client;
    this.#clusterDomain = clusterDomain;
  }

  /** Lower case. As it is, then as a short name, then without a suffix of the search list; at last by wildcard. */
  find(name: string): FoundName | undefined {
    if (!MESH_NAME.test(name)) return undefined;
    const domain = this.#clusterDomain;
    const suffixes = [`${this.#client.namespace}.svc.${domain}`, `svc.${domain}`, domain];
    for (const hostname of [name, ...suffixes.map((suffix) => `${name}.${suffix}`)]) {
      const found = this.findExactly(hostname);
      if (found) return found;
    }
    const stripped = suffixes
      .filter((suffix) => name.endsWith(`.${suffix}`))
      .map((suffix) => name.slice(0, -suffix.length - 1));
    for (const canonicalName of stripped) {
      const found = this.findExactly(canonicalName);
      if (found) return { ...found, canonicalName };
    }
    const service = this.#findWildcard(name);
    if (service) return { service };
    for (const canonicalName of stripped) {
      const wildcard = this.#findWildcard(canonicalName);
      if (wildcard) return { service: wildcard, canonicalName };
    }
    return undefined;
  }

  /** A full name: of a Service, or of endpoints below one. */
  findExactly(hostname: string): FoundName | undefined {
    const service = this.#findService(hostname);
    if (service) return { service };
    const dot = hostname.indexOf('.');
    const parent = dot < 0 ? undefined : this.#findService(hostname.slice(dot + 1));
    if (!parent) return undefined;
    const label = hostname.slice(0, dot);
    const endpoints = this.#endpointsOf(parent).filter((endpoint) => labelsOf(endpoint, parent).includes(label));
    return endpoints.length > 0 ? { service: parent, endpoints } : undefined;
  }

  /** A wildcard host that is around a full name. */
  findAround(hostname: string): FoundName | undefined {
    const service = this.#findWildcard(hostname);
    return service && { service };
  }

  /** The addresses of a name that are of our network, of one family. */
  addressesOf({ service, endpoints }: FoundName, wantsIpv6: boolean): string[] {
    if (service.ipFamilies === (wantsIpv6 ? 'IPV4_ONLY' : 'IPV6_ONLY')) return [];
    const isWanted = (address: string): boolean => address.includes(':') === wantsIpv6;
    if (!endpoints && service.addresses.length > 0) {
      return service.addresses
        .filter((one) => one.network === this.#client.network && !isRange(one) && isWanted(one.address))
        .map(({ address }) => address);
    }
    return (endpoints ?? this.#endpointsOf(service)).flatMap(({ workload }) => workload.addresses.filter(isWanted));
  }

  /** Where a port of a Service is, by its name: the Service itself, or of a headless one each of its endpoints. */
  findPort(name: string): readonly SrvRecord[] | undefined {
    const match = SRV_NAME.exec(name);
    const found = match && this.find(match[3] as string);
    if (!found || found.endpoints) return undefined;
    const { service } = found;
    const port = service.extension?.ports.find((one) => one.name === match[1] && one.protocol === match[2]);
    if (!port) return undefined;
    if (service.addresses.length > 0) return [{ port: port.port, target: service.hostname }];
    const servicePort = service.ports.find((one) => one.servicePort === port.port);
    return this.#endpointsOf(service).flatMap((endpoint) => {
      const [label] = labelsOf(endpoint, service);
      const target = port.protocol === 'tcp' && servicePort ? targetPortOf(servicePort, endpoint.ports) : port.port;
      return label === undefined || target === 0 ? [] : [{ port: target, target: `${label}.${service.hostname}` }];
    });
  }

  /** A pod by its address and namespace: `10-0-0-1.NAMESPACE.pod.DOMAIN`. */
  findPod(name: string): string | undefined {
    const suffix = `.pod.${this.#clusterDomain}`;
    const [dashed = '', namespace, ...more] = name.endsWith(suffix) ? name.slice(0, -suffix.length).split('.') : [];
    if (namespace === undefined || more.length > 0) return undefined;
    const address = parseAddress(dashed.replaceAll('-', '.')) ?? parseAddress(dashed.replaceAll('-', ':'));
    const pod = address === undefined ? undefined : this.#view.findWorkloadByAddress(this.#client.network, address);
    return pod?.namespace === namespace ? address : undefined;
  }

  /** The names of an address, given as a name below `arpa`: of a Service, or of an endpoint below a headless one. */
  findReverse(name: string): readonly string[] {
    const address = addressOfReverse(name);
    if (address === undefined) return [];
    const { network, namespace } = this.#client;
    const service = bestService(namespace, this.#view.servicesByAddress(network, address));
    if (service) return [service.hostname];
    const workload = this.#view.findWorkloadByAddress(network, address);
    return [...(workload?.services ?? [])].flatMap(([key, ports]) => {
      const one = this.#view.findService(key);
      if (!workload || !one || one.addresses.length > 0 || !bestService(namespace, [one])) return [];
      const [label] = labelsOf({ workload, ports }, one);
      return label === undefined ? [] : [`${label}.${one.hostname}`];
    });
  }

  #findService(hostname: string): Service | undefined {
    return bestService(this.#client.namespace, this.#view.servicesByHostname(hostname));
  }

  // The closest wildcard wins: `*.b.example` before `*.example`.
  #findWildcard(name: string): Service | undefined {
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const service = this.#findService(`*${name.slice(dot)}`);
      if (service) return service;
    }
    return undefined;
  }

  #endpointsOf(service: Service): Endpoint[] {
    const takesAll = service.loadBalancing?.healthPolicy === 'ALLOW_ALL';
    return [...this.#view.endpointsOf(serviceKey(service)).values()].filter(
      ({ workload }) => workload.network === this.#client.network && (takesAll || workload.status === 'HEALTHY'),
    );
  }
}

/** The names of an endpoint below its Service: the one that it was given; of a headless one also its addresses. */
function labelsOf({ workload }: Endpoint, service: Service): string[] {
  const own = workload.hostnames?.get(serviceKey(service));
  const dashed = service.addresses.length > 0 ? [] : workload.addresses.map((one) => one.replaceAll(/[.:]/g, '-'));
  return own === undefined ? dashed : [own.toLowerCase(), ...dashed];
}

function addressOfReverse(name: string): string | undefined {
  const v4 = REVERSE_V4.exec(name);
  if (v4) return parseAddress(`${v4[4]}.${v4[3]}.${v4[2]}.${v4[1]}`);
  if (!REVERSE_V6.test(name)) return undefined;
  const digits = name.slice(0, 64).split('.').toReversed().join('');
  return parseAddress((digits.match(/.{4}/g) ?? []).join(':'));
}
