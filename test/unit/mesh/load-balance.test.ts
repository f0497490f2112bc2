// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { CHOICES_MAX, localityRank, selectEndpoints } from '#src/mesh/load-balance.ts';
import type { LoadBalancingMode, LoadBalancingScope } from '#src/model/service.ts';
import type { Workload } from '#src/model/workload.ts';
import { aService, aStore, aWorkload, port, serving } from './mesh-fixtures.ts';

const at = (region: string, zone: string, subzone = '') => ({ locality: { region, zone, subzone } });
const source = aWorkload('client', '10.0.0.1', { ...at('r', 'z', 's'), node: 'n1', clusterId: 'c1' });
const NETWORK_FIRST: readonly LoadBalancingScope[] = ['NETWORK', 'REGION', 'ZONE', 'SUBZONE', 'NODE'];

const ranks: readonly (readonly [string, Partial<Workload>, readonly LoadBalancingScope[], number])[] = [
  ['no scopes', {}, [], 0],
  ['all the same', { ...at('r', 'z', 's') }, NETWORK_FIRST, 5],
  ['another node', { ...at('r', 'z', 's'), node: 'n2' }, NETWORK_FIRST, 4],
  ['another zone ends the count, whatever follows', { ...at('r', 'z2', 's') }, NETWORK_FIRST, 2],
  ['another region', { ...at('r2', 'z', 's') }, NETWORK_FIRST, 1],
  ['another network', { network: 'x' }, NETWORK_FIRST, 0],
  ['another cluster', { clusterId: 'c2' }, ['CLUSTER'], 0],
  ['the same cluster', { clusterId: 'c1' }, ['CLUSTER'], 1],
  ['no locality is another one', {}, ['REGION'], 0],
];
for (const [claim, fields, scopes, want] of ranks) {
  test(`localityRank: ${claim}: ${want}`, () => {
    assert.equal(localityRank(source, aWorkload('x', '10.0.0.9', fields), scopes), want);
  });
}

const endpoints = [
  aWorkload('near', '10.0.1.1', { ...at('r', 'z', 's'), node: 'n1', ...serving('web') }),
  aWorkload('zone', '10.0.1.2', { ...at('r', 'z', 's'), node: 'n2', ...serving('web') }),
  aWorkload('region', '10.0.1.3', { ...at('r', 'z2'), node: 'n3', ...serving('web') }),
  aWorkload('far', '10.0.1.4', { ...at('r2', 'z9'), node: 'n4', ...serving('web') }),
];
const select = (
  mode: LoadBalancingMode,
  routingPreference: readonly LoadBalancingScope[],
  workloads: readonly Workload[],
) => {
  const service = aService('web', '10.96.0.1', {
    loadBalancing: { mode, routingPreference, healthPolicy: 'ONLY_HEALTHY' },
  });
  const store = aStore({ workloads });
  return selectEndpoints(
    source,
    service,
    store.endpointsOf('shop/web.shop.svc.cluster.local'),
    port(80, 80),
    '10.96.0.1',
    () => [],
  );
};
const selections: readonly (readonly [
  LoadBalancingMode,
  readonly LoadBalancingScope[],
  readonly Workload[],
  readonly string[],
])[] = [
  ['UNSPECIFIED_MODE', NETWORK_FIRST, endpoints, ['near', 'zone', 'region', 'far']],
  ['FAILOVER', NETWORK_FIRST, endpoints, ['near']],
  ['FAILOVER', ['REGION', 'ZONE'], endpoints, ['near', 'zone']],
  ['FAILOVER', NETWORK_FIRST, endpoints.slice(1), ['zone']],
  ['FAILOVER', NETWORK_FIRST, endpoints.slice(2), ['region']],
  ['FAILOVER', NETWORK_FIRST, endpoints.slice(3), ['far']],
  ['STRICT', ['REGION'], endpoints, ['near', 'zone', 'region']],
  ['STRICT', ['REGION', 'ZONE'], endpoints, ['near', 'zone']],
  ['STRICT', ['NODE'], endpoints, ['near']],
  ['STRICT', ['NODE'], endpoints.slice(1), []],
  ['STRICT', [], endpoints, ['near', 'zone', 'region', 'far']],
];
for (const [mode, scopes, workloads, want] of selections) {
  test(`selectEndpoints: ${mode} [${scopes.join(' ')}] of ${workloads.length} gives ${want.join(' ') || 'none'}`, () => {
    assert.deepEqual(
      select(mode, scopes, workloads).candidates.map(({ workload }) => workload.name),
      want,
    );
  });
}

test('selectEndpoints: the better rank wins in whatever order the endpoints came', () => {
  const { candidates } = select('FAILOVER', NETWORK_FIRST, endpoints.toReversed());
  assert.deepEqual(
    candidates.map(({ workload }) => workload.name),
    ['near'],
  );
});

test('selectEndpoints: a large Service gives each source a bounded, stable share, and all are used', () => {
  const crowd = aStore({
    workloads: Array.from({ length: 1000 }, (_, i) => aWorkload(`w${i}`, `10.1.${i >> 8}.${i & 255}`, serving('web'))),
  });
  const of = (name: string) =>
    selectEndpoints(
      aWorkload(name, '10.0.0.1'),
      aService('web', '10.96.0.1'),
      crowd.endpointsOf('shop/web.shop.svc.cluster.local'),
      port(80, 80),
      '10.96.0.1',
      () => [],
    ).candidates;
  assert.equal(of('a').length, CHOICES_MAX);
  assert.deepEqual(of('a'), of('a'));
  const used = new Set(
    Array.from({ length: 200 }, (_, i) => of(`client${i}`))
      .flat()
      .map(({ address }) => address),
  );
  assert.equal(used.size, 1000);
});
