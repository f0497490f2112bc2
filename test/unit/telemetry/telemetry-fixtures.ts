// SPDX-License-Identifier: Apache-2.0

import type { Service } from '#src/model/service.ts';
import type { Workload } from '#src/model/workload.ts';

export function aWorkload(name: string, fields: Partial<Workload> = {}): Workload {
  return {
    uid: `c//Pod/shop/${name}`,
    name: `${name}-1`,
    namespace: 'shop',
    addresses: [],
    hostname: '',
    network: '',
    tunnelProtocol: 'HBONE',
    trustDomain: 'cluster.local',
    serviceAccount: name,
    node: 'n1',
    canonicalName: name,
    canonicalRevision: '',
    workloadType: 'DEPLOYMENT',
    workloadName: name,
    nativeTunnel: false,
    services: new Map(),
    authorizationPolicies: [],
    status: 'HEALTHY',
    clusterId: 'c',
    networkMode: 'STANDARD',
    capacity: 1,
    ...fields,
  };
}

export const webService: Service = {
  name: 'web',
  namespace: 'shop',
  hostname: 'web.shop.svc.cluster.local',
  addresses: [],
  ports: [],
  subjectAltNames: [],
  ipFamilies: 'AUTOMATIC',
  canonical: false,
  ingressUseWaypoint: false,
  visibility: 'PUBLIC',
};

/** A stream that keeps its lines; `fail` and `hold` make it broken or slow. */
export class FakeStream {
  readonly lines: string[] = [];
  fail: Error | undefined;
  hold = false;

  write(line: string, callback: (error?: Error | null) => void): boolean {
    if (!this.fail) this.lines.push(line);
    if (!this.hold) callback(this.fail);
    return !this.hold;
  }
}
