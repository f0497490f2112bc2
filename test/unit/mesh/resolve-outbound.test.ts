// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import type { LocalPods } from '#src/mesh/resolve-outbound.ts';
import { resolveOutbound } from '#src/mesh/resolve-outbound.ts';
import type { MeshDelta } from '#src/mesh/store.ts';
import type { GatewayAddress, LoadBalancing, Service } from '#src/model/service.ts';
import type { Workload } from '#src/model/workload.ts';
import { aService, aStore, aWorkload, localPods, port, serving } from './mesh-fixtures.ts';

const source = aWorkload('client', '10.0.0.1', { locality: { region: 'r', zone: 'z1', subzone: '' } });
const elsewhere = { node: 'n2' };
const wpByName: GatewayAddress = {
  destination: { kind: 'hostname', namespace: 'shop', hostname: 'wp.shop.svc.cluster.local' },
  hboneMtlsPort: 15008,
};
const wpByAddress: GatewayAddress = {
  destination: { kind: 'address', network: '', address: '10.0.9.9' },
  hboneMtlsPort: 15008,
};
const wpService = aService('wp', '10.96.0.99', { ports: [port(15008, 15008)] });
const wpPod = aWorkload('wp', '10.0.9.9', { ...elsewhere, nativeTunnel: true, ...serving('wp') });
const web = aWorkload('web', '10.0.1.1', { ...elsewhere, ...serving('web') });
const mode = (fields: Partial<LoadBalancing>): Partial<Service> => ({
  loadBalancing: { routingPreference: [], mode: 'UNSPECIFIED_MODE', healthPolicy: 'ONLY_HEALTHY', ...fields },
});

/** An endpoint of a Service that is known by its name only. */
const named = (service: string, hostname: string): Workload => ({
  ...aWorkload(`of-${service}`, '', { addresses: [], hostname, tunnelProtocol: 'NONE', node: '', ...serving(service) }),
  uid: `Kubernetes/networking.istio.io/ServiceEntry/shop/${service}/${hostname}`,
});

const rejected = { kind: 'service', name: 'shop/new', reason: 'too new' } as const;

interface Row {
  readonly claim: string;
  readonly mesh: MeshDelta;
  readonly dst?: string;
  readonly port?: number;
  readonly source?: Workload;
  readonly pods?: LocalPods;
  /** Code of the refusal, or each choice as `kind nextHop authority`, sorted. */
  readonly want: string | readonly string[];
}

const webHop = 'hbone 10.0.1.1:15008 10.0.1.1:8080';
const webTo = (service: Partial<Service>, ...workloads: Workload[]): MeshDelta => ({
  services: [aService('web', '10.96.0.1', service)],
  workloads,
});

const table: readonly Row[] = [
  {
    claim: 'an unknown address passes through',
    mesh: {},
    dst: '93.184.216.34',
    want: ['passthrough 93.184.216.34:80 93.184.216.34:80'],
  },
  {
    claim: 'an endpoint of which only the address is known is the workload that has it, with its identity',
    mesh: {
      services: [aService('store', '10.96.0.1', { ports: [port(80, 7000)] })],
      workloads: [
        aWorkload('web', '10.0.1.1', elsewhere),
        {
          ...aWorkload('slice', '10.0.1.1', {
            ...serving('store'),
            networkMode: 'HOST_NETWORK',
            tunnelProtocol: 'NONE',
            node: '',
          }),
          uid: 'Kubernetes/discovery.k8s.io/EndpointSlice/shop/store-1/10.0.1.1',
        },
      ],
    },
    want: ['hbone 10.0.1.1:15008 10.0.1.1:7000'],
  },
  {
    claim: 'an endpoint that is the name of a Service of the mesh is the endpoints of that Service',
    mesh: {
      services: [
        aService('alias', '10.96.0.1', { ports: [port(80, 80)] }),
        aService('web', '10.96.0.2', { ports: [port(80, 8080)] }),
      ],
      workloads: [web, { ...named('alias', 'web.shop.svc.cluster.local') }],
    },
    want: [webHop],
  },
  {
    claim: 'fails closed: not past the waypoint of the Service that an endpoint names',
    mesh: {
      services: [
        aService('alias', '10.96.0.1', { ports: [port(80, 80)] }),
        aService('web', '10.96.0.2', { ports: [port(80, 8080)], waypoint: wpByName }),
      ],
      workloads: [web, { ...named('alias', 'web.shop.svc.cluster.local') }],
    },
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'Services whose endpoints name each other have none',
    mesh: {
      services: [
        aService('alias', '10.96.0.1', { ports: [port(80, 80)] }),
        aService('other', '10.96.0.2', { ports: [port(80, 80)] }),
      ],
      workloads: [named('alias', 'other.shop.svc.cluster.local'), named('other', 'alias.shop.svc.cluster.local')],
    },
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'an endpoint at an address that nobody known has is plaintext',
    mesh: {
      services: [aService('store', '10.96.0.1', { ports: [port(80, 7000)] })],
      workloads: [
        {
          ...aWorkload('slice', '192.0.2.1', { ...serving('store'), tunnelProtocol: 'NONE', node: '' }),
          uid: 'Kubernetes/discovery.k8s.io/EndpointSlice/shop/store-1/192.0.2.1',
        },
      ],
    },
    want: ['passthrough 192.0.2.1:7000 192.0.2.1:7000'],
  },
  {
    claim: 'a Service that is exported to others is not there for its own namespace',
    mesh: {
      services: [
        aService('web', '10.96.0.1', {
          visibility: 'NAMESPACE',
          extension: { externalName: '', exportTo: ['bank'], affinityTimeoutSeconds: 0, ports: [] },
        }),
      ],
      workloads: [web],
    },
    want: ['passthrough 10.96.0.1:80 10.96.0.1:80'],
  },
  {
    claim: 'a Service that is exported to a namespace is there for it',
    source: aWorkload('client', '10.0.0.1', { namespace: 'bank' }),
    mesh: {
      services: [
        aService('web', '10.96.0.1', {
          visibility: 'NAMESPACE',
          extension: { externalName: '', exportTo: ['bank'], affinityTimeoutSeconds: 0, ports: [] },
        }),
      ],
      workloads: [web],
    },
    want: [webHop],
  },
  {
    claim: 'fails closed: the address of a rejected Service does not pass',
    mesh: { rejected: [{ ...rejected, addresses: [{ network: '', address: '10.96.0.1' }] }] },
    dst: '10.96.0.1',
    want: 'REJECTED_DESTINATION',
  },
  {
    claim: 'fails closed: nor does it by a range around it, or from inside a rejected one',
    mesh: {
      services: [
        aService('all', undefined, {
          addresses: [{ network: '', address: '0.0.0.0', prefixLength: 0 }],
          ...mode({ mode: 'PASSTHROUGH' }),
        }),
      ],
      rejected: [{ ...rejected, addresses: [{ network: '', address: '10.96.0.0', prefixLength: 24 }] }],
    },
    dst: '10.96.0.1',
    want: 'REJECTED_DESTINATION',
  },
  {
    claim: 'fails closed: the address of a rejected workload does not pass',
    mesh: { rejected: [{ ...rejected, kind: 'workload', addresses: [{ network: '', address: '10.0.1.9' }] }] },
    dst: '10.0.1.9',
    want: 'REJECTED_DESTINATION',
  },
  {
    claim: 'an address that a good Service has goes there, whatever else was rejected with it',
    mesh: { ...webTo({}, web), rejected: [{ ...rejected, addresses: [{ network: '', address: '10.96.0.1' }] }] },
    dst: '10.96.0.1',
    want: [webHop],
  },
  {
    claim: 'a rejected address on another network is not this one',
    mesh: { rejected: [{ ...rejected, addresses: [{ network: 'other', address: '10.96.0.1' }] }] },
    dst: '10.96.0.1',
    want: ['passthrough 10.96.0.1:80 10.96.0.1:80'],
  },
  {
    claim: 'an unknown IPv6 address passes through',
    mesh: {},
    dst: '2001:db8::1',
    want: ['passthrough 2001:db8::1:80 [2001:db8::1]:80'],
  },
  {
    claim: 'a workload that speaks HBONE is dialled on 15008',
    mesh: { workloads: [web] },
    dst: '10.0.1.1',
    port: 6379,
    want: ['hbone 10.0.1.1:15008 10.0.1.1:6379'],
  },
  {
    claim: 'fails closed: a sick one, too, by who dials its address',
    mesh: { workloads: [{ ...web, status: 'UNHEALTHY' }] },
    dst: '10.0.1.1',
    port: 6379,
    want: ['hbone 10.0.1.1:15008 10.0.1.1:6379'],
  },
  {
    claim: 'a workload that does not is dialled in plain TCP',
    mesh: { workloads: [{ ...web, tunnelProtocol: 'NONE' }] },
    dst: '10.0.1.1',
    want: ['passthrough 10.0.1.1:80 10.0.1.1:80'],
  },
  {
    claim: 'a host-network workload is not found by IP',
    mesh: { workloads: [{ ...web, networkMode: 'HOST_NETWORK' }] },
    dst: '10.0.1.1',
    want: ['passthrough 10.0.1.1:80 10.0.1.1:80'],
  },
  {
    claim: 'a workload of another network is not found by IP',
    mesh: { workloads: [{ ...web, network: 'other' }] },
    dst: '10.0.1.1',
    want: ['passthrough 10.0.1.1:80 10.0.1.1:80'],
  },
  { claim: 'a VIP becomes the endpoint with its target port', mesh: webTo({}, web), want: [webHop] },
  {
    claim: 'a VIP endpoint without HBONE is dialled in plain TCP',
    mesh: webTo({}, { ...web, tunnelProtocol: 'NONE' }),
    want: ['passthrough 10.0.1.1:8080 10.0.1.1:8080'],
  },
  {
    claim: 'all endpoints are choices',
    mesh: webTo({}, web, aWorkload('b', '10.0.1.2', { ...elsewhere, ...serving('web') })),
    want: [webHop, 'hbone 10.0.1.2:15008 10.0.1.2:8080'],
  },
  {
    claim: 'the port of the endpoint beats the port of the Service',
    mesh: webTo({}, { ...web, ...serving('web', [port(80, 9090)]) }),
    want: ['hbone 10.0.1.1:15008 10.0.1.1:9090'],
  },
  {
    claim: 'a named port is what the endpoint says',
    mesh: webTo({}, { ...web, ...serving('web', [port(443, 8443)]) }),
    port: 443,
    want: ['hbone 10.0.1.1:15008 10.0.1.1:8443'],
  },
  {
    claim: 'an endpoint that does not know a named port is no endpoint',
    mesh: webTo({}, web),
    port: 443,
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'fails closed on a port that the Service does not have',
    mesh: webTo({}, web),
    port: 81,
    want: 'UNKNOWN_SERVICE_PORT',
  },
  { claim: 'fails closed without endpoints', mesh: webTo({}), want: 'NO_HEALTHY_UPSTREAM' },
  {
    claim: 'an unhealthy endpoint is left out',
    mesh: webTo({}, { ...web, status: 'UNHEALTHY' }),
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'an unhealthy endpoint serves under ALLOW_ALL',
    mesh: webTo(mode({ healthPolicy: 'ALLOW_ALL' }), { ...web, status: 'UNHEALTHY' }),
    want: [webHop],
  },
  {
    claim: 'an endpoint of capacity 0 takes no load',
    mesh: webTo({}, { ...web, capacity: 0 }),
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'an endpoint known by hostname only, which nobody has resolved, is no way yet',
    mesh: webTo({}, { ...web, addresses: [], hostname: 'db.example' }),
    want: 'UNRESOLVED_NAME',
  },
  {
    claim: 'a host-network endpoint serves its Service',
    mesh: webTo({}, { ...web, networkMode: 'HOST_NETWORK', tunnelProtocol: 'NONE' }),
    want: ['passthrough 10.0.1.1:8080 10.0.1.1:8080'],
  },
  {
    claim: 'PASSTHROUGH goes to the original destination',
    mesh: webTo(mode({ mode: 'PASSTHROUGH' }), web),
    want: ['passthrough 10.96.0.1:80 10.96.0.1:80'],
  },
  {
    claim: 'endpoints on another network only are unreachable',
    mesh: webTo({}, { ...web, network: 'other' }),
    want: 'UNREACHABLE_NETWORK',
  },
  {
    claim: 'an endpoint on our network is preferred to one we cannot reach',
    mesh: webTo({}, web, aWorkload('b', '10.0.1.2', { network: 'other', ...serving('web') })),
    want: [webHop],
  },
  {
    claim: 'a workload address wins over a VIP',
    mesh: { services: [aService('web', '10.0.1.1')], workloads: [web] },
    dst: '10.0.1.1',
    want: ['hbone 10.0.1.1:15008 10.0.1.1:80'],
  },
  {
    claim: 'a range of a Service covers its addresses',
    mesh: {
      services: [aService('web', undefined, { addresses: [{ network: '', address: '10.97.0.0', prefixLength: 16 }] })],
      workloads: [web],
    },
    dst: '10.97.3.4',
    want: [webHop],
  },
  {
    claim: 'outside the range it passes through',
    mesh: {
      services: [aService('web', undefined, { addresses: [{ network: '', address: '10.97.0.0', prefixLength: 16 }] })],
      workloads: [web],
    },
    dst: '10.98.0.1',
    want: ['passthrough 10.98.0.1:80 10.98.0.1:80'],
  },
  {
    claim: 'a Service visible to another namespace only is not there',
    mesh: { services: [aService('web', '10.96.0.1', { namespace: 'other', visibility: 'NAMESPACE' })] },
    want: ['passthrough 10.96.0.1:80 10.96.0.1:80'],
  },
  {
    claim: 'of two Services at a VIP that of the own namespace wins',
    mesh: {
      services: [aService('web', '10.96.0.1', { namespace: 'other', canonical: true }), aService('web', '10.96.0.1')],
      workloads: [web],
    },
    want: [webHop],
  },
  {
    claim: 'of two Services elsewhere the canonical one wins',
    mesh: {
      services: [
        aService('a', '10.96.0.1', { namespace: 'x' }),
        aService('b', '10.96.0.1', { namespace: 'y', canonical: true }),
      ],
      workloads: [{ ...web, ...serving('y/b.y.svc.cluster.local') }],
    },
    want: [webHop],
  },
  {
    claim: 'a Service waypoint gets the address untranslated',
    mesh: { services: [aService('web', '10.96.0.1', { waypoint: wpByName }), wpService], workloads: [web, wpPod] },
    want: ['hbone 10.0.9.9:15008 10.96.0.1:80'],
  },
  {
    claim: 'a Service waypoint by address',
    mesh: { services: [aService('web', '10.96.0.1', { waypoint: wpByAddress })], workloads: [web, wpPod] },
    want: ['hbone 10.0.9.9:15008 10.96.0.1:80'],
  },
  {
    claim: 'a waypoint by the VIP of its Service',
    mesh: {
      services: [
        aService('web', '10.96.0.1', {
          waypoint: { ...wpByAddress, destination: { kind: 'address', network: '', address: '10.96.0.99' } },
        }),
        wpService,
      ],
      workloads: [web, wpPod],
    },
    want: ['hbone 10.0.9.9:15008 10.96.0.1:80'],
  },
  {
    claim: 'fails closed on a waypoint whose Service is missing',
    mesh: { services: [aService('web', '10.96.0.1', { waypoint: wpByName })], workloads: [web] },
    want: 'UNKNOWN_WAYPOINT',
  },
  {
    claim: 'fails closed on a waypoint without endpoints',
    mesh: { services: [aService('web', '10.96.0.1', { waypoint: wpByName }), wpService], workloads: [web] },
    want: 'UNKNOWN_WAYPOINT',
  },
  {
    claim: 'fails closed on a waypoint at an unknown address',
    mesh: { services: [aService('web', '10.96.0.1', { waypoint: wpByAddress })], workloads: [web] },
    want: 'UNKNOWN_WAYPOINT',
  },
  {
    claim: 'a waypoint on another network is unreachable',
    mesh: {
      services: [aService('web', '10.96.0.1', { waypoint: wpByName }), wpService],
      workloads: [web, { ...wpPod, network: 'other' }],
    },
    want: 'UNREACHABLE_NETWORK',
  },
  {
    claim: 'the waypoint itself goes on to the endpoint',
    mesh: { services: [aService('web', '10.96.0.1', { waypoint: wpByName }), wpService], workloads: [web, wpPod] },
    source: wpPod,
    want: ['hbone 10.0.1.1:15008 10.0.1.1:8080'],
  },
  {
    claim: 'a workload waypoint takes connections to the pod address',
    mesh: { services: [wpService], workloads: [{ ...web, waypoint: wpByName }, wpPod] },
    dst: '10.0.1.1',
    want: ['hbone 10.0.9.9:15008 10.0.1.1:80'],
  },
  {
    claim: 'a workload waypoint does not take connections to the Service',
    mesh: { services: [aService('web', '10.96.0.1'), wpService], workloads: [{ ...web, waypoint: wpByName }, wpPod] },
    want: [webHop],
  },
  {
    claim: 'the workload waypoint itself goes on to the workload',
    mesh: { services: [wpService], workloads: [{ ...web, waypoint: wpByName }, wpPod] },
    source: wpPod,
    dst: '10.0.1.1',
    want: ['hbone 10.0.1.1:15008 10.0.1.1:80'],
  },
  {
    claim: 'a captured pod of this node is handed the connection',
    mesh: webTo({}, { ...web, node: 'n1' }),
    pods: localPods({ web: 'handoff' }),
    want: ['handoff 10.0.1.1:8080 10.0.1.1:8080'],
  },
  {
    claim: 'a captured pod of this node is handed the connection before the mesh knows it is captured',
    mesh: webTo({}, { ...web, node: 'n1', tunnelProtocol: 'NONE' }),
    pods: localPods({ web: 'handoff' }),
    want: ['handoff 10.0.1.1:8080 10.0.1.1:8080'],
  },
  {
    claim: 'a captured pod of this node that has only the other family is dialled as across nodes',
    mesh: webTo({}, { ...web, node: 'n1', addresses: ['fd00::1'] }),
    pods: localPods({ web: 'handoff' }),
    want: ['hbone fd00::1:15008 [fd00::1]:8080'],
  },
  {
    claim: 'a destination that wants a tunnel gets one on the same node',
    mesh: webTo({}, { ...web, node: 'n1' }),
    pods: localPods({ web: 'tunnel' }),
    want: [webHop],
  },
  {
    claim: 'a source that wants a tunnel gets one on the same node',
    mesh: webTo({}, { ...web, node: 'n1' }),
    pods: localPods({ web: 'handoff', client: 'tunnel' }),
    want: [webHop],
  },
  {
    claim: 'a pod of this node that is not captured is dialled',
    mesh: webTo({}, { ...web, node: 'n1', tunnelProtocol: 'NONE' }),
    want: ['passthrough 10.0.1.1:8080 10.0.1.1:8080'],
  },
  {
    claim: 'refuses port 15008 on loopback',
    mesh: {},
    dst: '127.0.0.1',
    port: 15008,
    want: 'ILLEGAL_DESTINATION',
  },
  {
    claim: 'refuses port 15008 on IPv6 loopback',
    mesh: {},
    dst: '::1',
    port: 15008,
    want: 'ILLEGAL_DESTINATION',
  },
  {
    claim: 'refuses port 15008 of a mesh pod',
    mesh: { workloads: [web] },
    dst: '10.0.1.1',
    port: 15008,
    want: 'ILLEGAL_DESTINATION',
  },
  {
    claim: 'refuses a Service that leads to port 15008 of a mesh pod',
    mesh: webTo({ ports: [port(80, 15008)] }, web),
    want: 'ILLEGAL_DESTINATION',
  },
  {
    claim: 'an application may have port 15006, which is ztunnel’s elsewhere',
    mesh: webTo({ ports: [port(80, 15006)] }, web),
    want: ['hbone 10.0.1.1:15008 10.0.1.1:15006'],
  },
  {
    claim: 'a gateway of its own tunnels may dial 15008',
    mesh: { workloads: [web] },
    source: { ...source, nativeTunnel: true },
    dst: '10.0.1.1',
    port: 15008,
    want: ['hbone 10.0.1.1:15008 10.0.1.1:15008'],
  },
  {
    claim: 'port 15008 outside the mesh is nobody’s business',
    mesh: {},
    dst: '93.184.216.34',
    port: 15008,
    want: ['passthrough 93.184.216.34:15008 93.184.216.34:15008'],
  },
  {
    claim: 'the family of the caller is preferred',
    mesh: webTo({}, { ...web, addresses: ['fd00::1', '10.0.1.1'] }),
    want: [webHop],
  },
  {
    claim: 'the other family serves when there is no choice',
    mesh: webTo({}, { ...web, addresses: ['fd00::1'] }),
    want: ['hbone fd00::1:15008 [fd00::1]:8080'],
  },
  {
    claim: 'a family that the Service excludes does not serve',
    mesh: webTo({ ipFamilies: 'IPV4_ONLY' }, { ...web, addresses: ['fd00::1'] }),
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'STRICT on the node keeps to the node',
    mesh: webTo(
      mode({ mode: 'STRICT', routingPreference: ['NODE'] }),
      web,
      aWorkload('b', '10.0.1.2', { node: 'n1', tunnelProtocol: 'NONE', ...serving('web') }),
    ),
    want: ['passthrough 10.0.1.2:8080 10.0.1.2:8080'],
  },
  {
    claim: 'STRICT fails closed when nothing matches',
    mesh: webTo(mode({ mode: 'STRICT', routingPreference: ['NODE'] }), web),
    want: 'NO_HEALTHY_UPSTREAM',
  },
  {
    claim: 'FAILOVER takes what there is',
    mesh: webTo(mode({ mode: 'FAILOVER', routingPreference: ['REGION', 'NODE'] }), web),
    want: [webHop],
  },
];

for (const row of table) {
  test(`resolveOutbound: ${row.claim}`, () => {
    const store = aStore(row.mesh);
    const dst = { address: row.dst ?? '10.96.0.1', port: row.port ?? 80 };
    const { outcome } = resolveOutbound(store, row.pods ?? localPods({}), row.source ?? source, dst);
    const seen =
      outcome.kind === 'refusal'
        ? outcome.code
        : outcome.choices.map((c) => `${c.kind} ${c.nextHop.address}:${c.nextHop.port} ${c.hboneAuthority}`).sort();
    assert.deepEqual(seen, row.want);
  });
}

test('resolveOutbound: a hop over HBONE names who may end it, plain TCP names nobody', () => {
  const sans = ['spiffe://cluster.local/ns/shop/sa/alias', 'not-spiffe'];
  const store = aStore(
    webTo(
      { subjectAltNames: sans },
      web,
      aWorkload('b', '10.0.1.2', { tunnelProtocol: 'NONE', ...elsewhere, ...serving('web') }),
    ),
  );
  const { outcome } = resolveOutbound(store, localPods({}), source, { address: '10.96.0.1', port: 80 });
  assert.equal(outcome.kind, 'route');
  const accounts = outcome.choices.map((choice) => choice.upstreamIdentities.map((id) => id.serviceAccount));
  assert.deepEqual(accounts, [['web', 'alias'], []]);
});

test('resolveOutbound: capacity becomes weight', () => {
  const store = aStore(webTo({}, { ...web, capacity: 7 }));
  const { outcome } = resolveOutbound(store, localPods({}), source, { address: '10.96.0.1', port: 80 });
  assert.equal(outcome.kind, 'route');
  assert.equal(outcome.choices[0].weight, 7);
});

// Each change either names a key the decision kept, or the decision would be the same again.
const changes: readonly { readonly claim: string; readonly delta: MeshDelta; readonly stale: boolean }[] = [
  { claim: 'an endpoint more', delta: { workloads: [aWorkload('b', '10.0.1.2', serving('web'))] }, stale: true },
  { claim: 'an endpoint less', delta: { removedAddresses: [web.uid] }, stale: true },
  { claim: 'a sick endpoint', delta: { workloads: [{ ...web, status: 'UNHEALTHY' }] }, stale: true },
  { claim: 'a waypoint', delta: { services: [aService('web', '10.96.0.1', { waypoint: wpByName })] }, stale: true },
  {
    claim: 'a workload that takes the VIP for its own',
    delta: { workloads: [aWorkload('b', '10.96.0.1')] },
    stale: true,
  },
  { claim: 'a change of the source', delta: { workloads: [{ ...source, node: 'n2' }] }, stale: true },
  {
    claim: 'a policy at the endpoint',
    delta: { workloads: [{ ...web, authorizationPolicies: ['shop/p'] }] },
    stale: false,
  },
  { claim: 'another Service', delta: { services: [aService('db', '10.96.0.2')] }, stale: false },
  { claim: 'another workload', delta: { workloads: [aWorkload('db', '10.0.1.9')] }, stale: false },
  {
    claim: 'a range, since the address was found before it',
    delta: {
      services: [aService('all', undefined, { addresses: [{ network: '', address: '10.0.0.0', prefixLength: 8 }] })],
    },
    stale: false,
  },
];
for (const { claim, delta, stale } of changes) {
  test(`resolveOutbound: ${claim} ${stale ? 'overturns' : 'does not touch'} a decision about a Service`, () => {
    const store = aStore(webTo({}, web));
    const { dependencies } = resolveOutbound(store, localPods({}), source, { address: '10.96.0.1', port: 80 });
    const { keys } = store.apply(delta);
    assert.equal(
      [...keys].some((key) => dependencies.has(key)),
      stale,
    );
  });
}

test('resolveOutbound: a Service that appears overturns passthrough, by address and by range', () => {
  for (const address of [
    { network: '', address: '10.96.0.1' },
    { network: '', address: '10.96.0.0', prefixLength: 16 },
  ]) {
    const store = aStore({});
    const { dependencies } = resolveOutbound(store, localPods({}), source, { address: '10.96.0.1', port: 80 });
    const { keys } = store.apply({ services: [aService('web', undefined, { addresses: [address] })] });
    assert.ok([...keys].some((key) => dependencies.has(key)));
  }
});
