// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { ERROR_TABLE } from '#src/model/errors.ts';
import type { ConnectionClosed, DnsUpstream, Flow } from '#src/model/messages.gen.ts';
import { logConnection } from '#src/telemetry/access-log.ts';
import { DnsLabelTable } from '#src/telemetry/dns-labels.ts';
import { FLOW_LABELS, FlowLabelTable } from '#src/telemetry/flow-labels.ts';
import { Logger } from '#src/telemetry/logger.ts';
import { Metrics, type MetricsReader } from '#src/telemetry/metrics.ts';
import { openRegistry } from '#src/telemetry/registry.ts';
import { aWorkload, FakeStream, webService } from './telemetry-fixtures.ts';

const client = aWorkload('client');
const web = aWorkload('web', { canonicalRevision: 'v2', locality: { region: 'r', zone: 'z', subzone: '' } });
const facts = {
  reporter: 'source',
  security: 'mutual_tls',
  source: client,
  destination: web,
  service: webService,
} as const;
const row = (fields: Partial<Flow>): Flow => ({
  direction: 'outbound',
  flowLabel: 0,
  peerLabel: 0,
  code: 0,
  opened: 0n,
  closed: 0n,
  failed: 0n,
  bytesSent: 0n,
  bytesReceived: 0n,
  ...fields,
});

test('FlowLabelTable: the labels are Istio’s, in its order', () => {
  assert.equal(FLOW_LABELS.length, 27);
  assert.deepEqual(FLOW_LABELS.slice(0, 3), ['reporter', 'source_workload', 'source_canonical_service']);
  assert.ok(FLOW_LABELS.includes('connection_security_policy') && FLOW_LABELS.includes('destination_zone'));
});

test('FlowLabelTable: pods of one Deployment share a label, another revision has its own', () => {
  const table = new FlowLabelTable();
  const first = table.internFlow(facts);
  assert.equal(table.internFlow({ ...facts, destination: { ...web, uid: 'other', name: 'web-2' } }), first);
  assert.notEqual(table.internFlow({ ...facts, destination: { ...web, canonicalRevision: 'v3' } }), first);
});

test('FlowLabelTable: who proved its identity is told by that; its address alone names no principal', () => {
  const table = new FlowLabelTable();
  const peer = table.internPeer(client);
  const inbound = { reporter: 'destination', security: 'mutual_tls', destination: web } as const;
  const sourceIdentity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'other' };
  const unproven = table.internFlow(inbound);
  const proven = table.internFlow({ ...inbound, sourceIdentity });
  assert.notEqual(proven, unproven);
  assert.equal(table.internFlow({ ...inbound, sourceIdentity: { ...sourceIdentity } }), proven);
  const source = (label: number) => {
    const set = table.find({ direction: 'inbound', flowLabel: label, peerLabel: peer }, '-');
    return [set?.source_principal, set?.source_workload];
  };
  assert.deepEqual(source(unproven), ['unknown', client.workloadName]);
  assert.deepEqual(source(proven), ['spiffe://cluster.local/ns/shop/sa/other', client.workloadName]);
});

test('FlowLabelTable: when full, new sets count as unknown and the overflow is counted', () => {
  const table = new FlowLabelTable({ labelsMax: 1, graceMs: 0 });
  table.internPeer(client);
  assert.equal(table.internPeer(web), 0);
  assert.equal(table.overflowTotal, 1);
});

test('FlowLabelTable: a set outlives its workloads by the grace period, and numbers are not used again', () => {
  const table = new FlowLabelTable({ labelsMax: 10, graceMs: 100 });
  const label = table.internFlow(facts);
  const found = () => table.find({ direction: 'outbound', flowLabel: label, peerLabel: 0 }, '-');
  table.sweep([client], [webService], 0);
  table.sweep([client], [webService], 99);
  assert.ok(found());
  table.sweep([client, web], [webService], 150);
  table.sweep([client], [webService], 200);
  table.sweep([client], [webService], 299);
  assert.ok(found());
  table.sweep([client], [webService], 300);
  assert.equal(found(), undefined);
  assert.ok(table.internFlow(facts) > label);
});

function setUp(flows: readonly Flow[], labels: FlowLabelTable, dnsUpstreams: readonly DnsUpstream[] = []) {
  const registry = openRegistry();
  let reads = 0;
  let counterReads = 0;
  const reader: MetricsReader = {
    flows: () => (reads++, flows),
    dnsUpstreams: () => dnsUpstreams,
    counters: () => {
      counterReads++;
      return [
        { name: 'outbound_accepted', value: 5n },
        { name: 'connections_live', value: 2n },
      ];
    },
    tokenEndMs: () => 7000,
    certificates: () => [{ identity: 'spiffe://td/ns/a/sa/b', notAfterMs: 5000 }],
    fills: () => [{ name: 'verdicts', size: 1, max: 4, droppedTotal: 3 }],
    resources: () => [{ kind: 'workload', count: 2, rejectedTotal: 1 }],
    configurationAgeMs: () => 90_000,
    verdictsInvalidatedTotal: () => 8,
    agentCounters: () => [['certificates_failed', 3]],
    pods: () => new Map([['captured', 2]]),
    unenrolled: () => new Map([['no_sandbox', 1]]),
    proxies: () => ({ active: 2, pending: 1, startedTotal: 6, stoppedTotal: 4 }),
  };
  const metrics = new Metrics(registry, labels, reader, { component: 'groundwire', tag: 't' });
  const render = async () => Buffer.from((await registry.render()).text).toString();
  /** The samples of one metric, as a scraper reads them. */
  const find = async (name: string) => {
    const samples = [...(await render()).matchAll(/^(\w+)(?:{(.*)})? (\S+)$/gm)].filter((sample) => sample[1] === name);
    return samples.map(([, , labels = '', value]) => ({
      labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text])),
      value: Number(value),
    }));
  };
  return { registry, metrics, render, find, reads: () => reads, counterReads: () => counterReads };
}

test('Metrics: what was refused before it was decided is told of the pod that it happened to', async () => {
  const table = new FlowLabelTable();
  const code = ERROR_TABLE.HBONE_BAD_REQUEST.number;
  const flowLabel = table.internPeer(web);
  const refused = { peerLabel: table.internPeer(client), code, failed: 1n };
  const { find } = setUp(
    [
      row({ ...refused, direction: 'inbound', flowLabel }),
      row({ direction: 'outbound', flowLabel, code, failed: 1n }),
      row({ direction: 'inbound', code, failed: 1n }),
    ],
    table,
  );
  const told = (await find('istio_tcp_connections_failed_total')).map(({ labels }) => [
    labels['reporter'],
    labels['source_workload'],
    labels['source_principal'],
    labels['destination_workload'],
    labels['destination_principal'],
    labels['response_flags'],
  ]);
  const principal = `spiffe://cluster.local/ns/${web.namespace}/sa/${web.serviceAccount}`;
  assert.deepEqual(told, [
    ['destination', client.workloadName, 'unknown', web.workloadName, principal, 'CONNECT'],
    ['source', web.workloadName, principal, 'unknown', 'unknown', 'CONNECT'],
    ['destination', 'unknown', 'unknown', 'unknown', 'unknown', 'CONNECT'],
  ]);
});

test('Metrics: a row of the engine becomes Istio’s counters, received being what the client sent', async () => {
  const table = new FlowLabelTable();
  const flowLabel = table.internFlow(facts);
  const { find } = setUp([row({ flowLabel, opened: 3n, closed: 2n, bytesSent: 10n, bytesReceived: 20n })], table);
  const [opened] = await find('istio_tcp_connections_opened_total');
  assert.equal(opened?.value, 3);
  assert.deepEqual(
    { ...opened?.labels },
    {
      reporter: 'source',
      source_workload: 'client',
      source_canonical_service: 'client',
      source_canonical_revision: 'latest',
      source_workload_namespace: 'shop',
      source_principal: 'spiffe://cluster.local/ns/shop/sa/client',
      source_app: 'client',
      source_version: 'latest',
      source_cluster: 'c',
      destination_service: 'web.shop.svc.cluster.local',
      destination_service_namespace: 'shop',
      destination_service_name: 'web',
      destination_workload: 'web',
      destination_canonical_service: 'web',
      destination_canonical_revision: 'v2',
      destination_workload_namespace: 'shop',
      destination_principal: 'spiffe://cluster.local/ns/shop/sa/web',
      destination_app: 'web',
      destination_version: 'v2',
      destination_cluster: 'c',
      request_protocol: 'tcp',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
      source_region: 'unknown',
      source_zone: 'unknown',
      destination_region: 'r',
      destination_zone: 'z',
    },
  );
  assert.equal((await find('istio_tcp_received_bytes_total'))[0]?.value, 10);
  assert.equal((await find('istio_tcp_sent_bytes_total'))[0]?.value, 20);
  assert.equal((await find('istio_tcp_connections_closed_total'))[0]?.value, 2);
});

test('Metrics: what was refused of two replicas is one series, which does not fall when one of them goes', async () => {
  const table = new FlowLabelTable();
  const [first, second] = [table.internPeer(web), table.internPeer({ ...web, uid: 'other', name: 'web-2' })];
  assert.equal(first, second);
  const { find } = setUp([row({ direction: 'inbound', flowLabel: first, failed: 3n })], table);
  const failed = async () =>
    (await find('istio_tcp_connections_failed_total')).map(({ value, labels }) => [
      value,
      labels['destination_workload'],
    ]);
  assert.deepEqual(await failed(), [[3, web.workloadName]]);
  for (const nowMs of [0, 1_000_000]) table.sweep([{ ...web, uid: 'other', name: 'web-2' }], [], nowMs);
  assert.deepEqual(await failed(), [[3, web.workloadName]]);
});

test('Metrics: rows that differ only in codes of one flag are added up, inbound sources come from the peer', async () => {
  const table = new FlowLabelTable();
  const flowLabel = table.internFlow({ reporter: 'destination', security: 'mutual_tls', destination: web });
  const peerLabel = table.internPeer(client);
  const denied = [ERROR_TABLE.POLICY_DENIED, ERROR_TABLE.POLICY_NOT_ALLOWED].map(({ number }) =>
    row({ flowLabel, peerLabel, code: number, failed: 2n }),
  );
  const { find } = setUp(denied, table);
  const failed = await find('istio_tcp_connections_failed_total');
  assert.deepEqual(
    failed.map(({ value, labels }) => [value, labels['response_flags'], labels['source_workload']]),
    [[4, 'DENY', 'client']],
  );
});

test('Metrics: a second scrape shows the same values and reads the engine once more', async () => {
  const table = new FlowLabelTable();
  const { find, reads, counterReads } = setUp([row({ opened: 1n })], table);
  const once = await find('istio_tcp_connections_opened_total');
  assert.equal(once[0]?.value, 1);
  assert.deepEqual(await find('istio_tcp_connections_opened_total'), once);
  assert.equal(reads(), 2);
  assert.equal(counterReads(), 2);
});

test('Metrics: however many rows there are, rendering them lets others have their turns', async () => {
  const table = new FlowLabelTable();
  const rows = Array.from({ length: 10_000 }, (_, index) =>
    row({ flowLabel: table.internFlow({ ...facts, destination: aWorkload(`web-${index}`) }), opened: 1n, failed: 2n }),
  );
  const { render } = setUp(rows, table);
  let turns = 0;
  let rendered = false;
  const others = (): void => {
    turns++;
    if (!rendered) setImmediate(others);
  };
  setImmediate(others);
  const text = await render();
  rendered = true;
  assert.equal(text.match(/^istio_tcp_connections_opened_total{.*} 1$/gm)?.length, 10_000);
  assert.equal(text.match(/^istio_tcp_connections_failed_total{.*} 2$/gm)?.length, 10_000);
  // A hundred rows a turn at the most, to find their labels and again in each of two metrics.
  assert.ok(turns > 250, `${turns} turns`);
});

test('Metrics: a label’s value is escaped as the text format wants it', async () => {
  const table = new FlowLabelTable();
  const flowLabel = table.internFlow({ ...facts, source: aWorkload('a', { workloadName: 'a"b\\c\nd' }) });
  const { render } = setUp([row({ flowLabel, opened: 1n })], table);
  assert.match(await render(), /source_workload="a\\"b\\\\c\\nd"/);
});

test('Metrics: what is open is what was opened and not closed, also of labels that have expired', async () => {
  const table = new FlowLabelTable();
  const flowLabel = table.internFlow(facts);
  const { find } = setUp(
    [
      row({ flowLabel, opened: 5n, closed: 1n }),
      row({ flowLabel, code: ERROR_TABLE.POLICY_LATE_DENIED.number, closed: 1n, failed: 1n }),
      row({ flowLabel: 99, opened: 1n }),
      row({ direction: 'inbound', opened: 2n, closed: 2n }),
    ],
    table,
  );
  assert.deepEqual(
    (await find('istio_tcp_sockets_open')).map(({ labels, value }) => [labels['reporter'], value]),
    [
      ['source', 4],
      ['destination', 0],
    ],
  );
});

test('Metrics: rows whose labels have expired are counted and not shown', async () => {
  const { find } = setUp([row({ flowLabel: 99, opened: 1n })], new FlowLabelTable());
  assert.deepEqual(await find('istio_tcp_connections_opened_total'), []);
  assert.equal((await find('groundwire_flow_rows_expired'))[0]?.value, 1);
});

test('Metrics: what is read at the scrape and what is counted on the way', async () => {
  const { metrics, find } = setUp([], new FlowLabelTable());
  metrics.countDecision('inbound', ERROR_TABLE.POLICY_DENIED.number);
  metrics.countXdsMessage('type.googleapis.com/istio.workload.Address', 100);
  metrics.countDnsRequest(
    {
      request_query_type: 'a',
      request_protocol: 'udp',
      source_canonical_service: 'c',
      source_canonical_revision: 'v1',
    },
    true,
  );
  const values: Record<string, unknown> = {};
  for (const name of [
    'groundwire_engine_total',
    'groundwire_engine_level',
    'groundwire_certificate_expiry_timestamp_seconds',
    'groundwire_join_token_expiry_timestamp_seconds',
    'groundwire_fill_ratio',
    'groundwire_dropped_total',
    'groundwire_resources_rejected_total',
    'groundwire_decisions_total',
    'istio_xds_message_bytes_total',
    'istio_dns_upstream_requests_total',
    'istio_build',
    'groundwire_verdicts_invalidated_total',
    'istio_active_proxy_count',
    'istio_pending_proxy_count',
    'istio_proxies_started_total',
    'istio_proxies_stopped_total',
  ]) {
    values[name] = (await find(name)).map(({ value }) => value);
  }
  assert.deepEqual(Object.values(values), [
    [5],
    [2],
    [5],
    [7],
    [0.25, 0.0001],
    [3, 0],
    [1],
    [1],
    [100],
    [1],
    [1],
    [8],
    [2],
    [1],
    [6],
    [4],
  ]);
});

test('Metrics: what upstream resolvers did, by the labels of the query, as a histogram', async () => {
  const labels = {
    request_query_type: 'aaaa',
    request_protocol: 'tcp',
    source_canonical_service: 'client',
    source_canonical_revision: 'v1',
  };
  const answered = [1n, 0n, 2n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 1n];
  const rows = [
    { label: 1, failed: 5n, durationUs: 6_003_100n, answered },
    { label: 0, failed: 1n, durationUs: 0n, answered: answered.map(() => 0n) },
  ];
  const { metrics, registry, render, find } = setUp([], new FlowLabelTable(), rows);
  assert.equal(metrics.countDnsRequest(labels, true), 1);
  const unknown = { ...labels };
  for (const name of Object.keys(unknown) as (keyof typeof unknown)[]) unknown[name] = 'unknown';
  assert.deepEqual(await find('istio_dns_upstream_failures_total'), [
    { labels, value: 5 },
    { labels: unknown, value: 1 },
  ]);
  const name = 'istio_dns_upstream_request_duration_seconds';
  const lines = (await registry.registry.getSingleMetricAsString(name)).split('\n');
  const set =
    'request_query_type="aaaa",request_protocol="tcp",source_canonical_service="client",source_canonical_revision="v1"';
  assert.equal(lines[1], `# TYPE ${name} histogram`);
  assert.equal(lines.length, 2 + answered.length + 2);
  assert.equal(lines[2], `${name}_bucket{${set},le="0.0005"} 1`);
  assert.equal(lines[3], `${name}_bucket{${set},le="0.001"} 1`);
  assert.equal(lines[4], `${name}_bucket{${set},le="0.002"} 3`);
  assert.equal(lines[15], `${name}_bucket{${set},le="4.096"} 3`);
  assert.deepEqual(lines.slice(16), [
    `${name}_bucket{${set},le="+Inf"} 4`,
    `${name}_sum{${set}} 6.0031`,
    `${name}_count{${set}} 4`,
  ]);
  assert.match(await render(), new RegExp(`${name}_count`));
});

test('DnsLabelTable: when full, new sets count as unknown and the overflow is counted', () => {
  const table = new DnsLabelTable(1);
  const set = (source_canonical_service: string) => ({
    request_query_type: 'a',
    request_protocol: 'udp',
    source_canonical_service,
    source_canonical_revision: 'v1',
  });
  assert.equal(table.intern(set('one')), 1);
  assert.equal(table.intern(set('two')), 0);
  assert.equal(table.intern(set('one')), 1);
  assert.deepEqual([table.size, table.max, table.overflowTotal], [1, 1, 1]);
  assert.equal(table.find(0).source_canonical_service, 'unknown');
});

const record: ConnectionClosed = {
  kind: 'ConnectionClosed',
  id: 5n,
  pod: 1,
  security: 'mutual_tls',
  startedMs: 0n,
  opened: true,
  direction: 'outbound',
  hop: 'hbone',
  code: 0,
  hboneStatus: 200,
  source: { address: '10.0.0.1', port: 4000 },
  originalDst: { address: '10.96.0.1', port: 80 },
  nextHop: { address: '10.0.0.2', port: 15008 },
  hboneAuthority: '10.0.0.2:8080',
  sourceIdentity: 'spiffe://cluster.local/ns/shop/sa/client',
  destinationIdentity: 'spiffe://cluster.local/ns/shop/sa/web',
  verdict: 3n,
  flowLabel: 1,
  peerLabel: 0,
  bytesSent: 1n,
  bytesReceived: 2n,
  durationUs: 3999n,
  traceparent: '',
  detail: '',
};
function access(fields: Partial<ConnectionClosed>, policy = 'shop/deny'): Record<string, unknown>[] {
  const labels = new FlowLabelTable();
  labels.internFlow(facts);
  const stream = new FakeStream();
  const log = Logger.open(stream, { level: 'info', format: 'json', nowMs: () => 0, linesMax: 10 });
  const findWorkload = (address: string) =>
    address === '10.0.0.2' ? { name: 'web-1', namespace: 'shop', clusterId: 'east' } : undefined;
  logConnection({ log, labels, findWorkload, findPolicy: () => policy }, { ...record, ...fields });
  return stream.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('logConnection: one line with ztunnel’s names', () => {
  assert.deepEqual(access({}), [
    {
      'conn.id': '5',
      'src.addr': '10.0.0.1:4000',
      'src.workload': 'client',
      'src.namespace': 'shop',
      'src.identity': 'spiffe://cluster.local/ns/shop/sa/client',
      'src.cluster': 'c',
      'dst.addr': '10.0.0.2:15008',
      'dst.hbone_addr': '10.0.0.2:8080',
      'dst.service': 'web.shop.svc.cluster.local',
      'dst.workload': 'web-1',
      'dst.namespace': 'shop',
      'dst.identity': 'spiffe://cluster.local/ns/shop/sa/web',
      'dst.cluster': 'east',
      direction: 'outbound',
      hop: 'hbone',
      bytes_sent: 1,
      bytes_recv: 2,
      duration: '3ms',
      time: '1970-01-01T00:00:00.000Z',
      level: 'info',
      message: 'connection complete',
    },
  ]);
});

test('logConnection: an inbound line tells bytes as its own pod sees them, as the metrics do', async () => {
  const [line] = access({ direction: 'inbound', bytesSent: 10n, bytesReceived: 20n });
  assert.deepEqual([line?.['bytes_sent'], line?.['bytes_recv']], [20, 10]);
  const table = new FlowLabelTable();
  const flowLabel = table.internFlow({ reporter: 'destination', security: 'mutual_tls', destination: web });
  const { find } = setUp([row({ direction: 'inbound', flowLabel, bytesSent: 10n, bytesReceived: 20n })], table);
  assert.equal((await find('istio_tcp_sent_bytes_total'))[0]?.value, line?.['bytes_sent']);
  assert.equal((await find('istio_tcp_received_bytes_total'))[0]?.value, line?.['bytes_recv']);
});

test('logConnection: an inbound tunnel ends at the HBONE port, and what is asked for in it is the HBONE address', () => {
  const originalDst = { address: '10.0.0.2', port: 8080 };
  const [line] = access({ direction: 'inbound', originalDst, nextHop: originalDst });
  assert.deepEqual([line?.['dst.addr'], line?.['dst.hbone_addr']], ['10.0.0.2:15008', '10.0.0.2:8080']);
});

test('logConnection: an identity that nobody has proven is not told', () => {
  const identities = (security: ConnectionClosed['security']) => {
    const [line] = access({ security });
    return [line?.['src.identity'], line?.['dst.identity']];
  };
  assert.deepEqual(identities('none'), [undefined, undefined]);
  for (const security of ['mutual_tls', 'handoff'] as const)
    assert.deepEqual(identities(security), [record.sourceIdentity, record.destinationIdentity]);
});

test('logConnection: a refused CONNECT tells who wanted what', () => {
  const refused = { opened: false, direction: 'inbound', nextHop: { address: '::', port: 0 }, flowLabel: 0 } as const;
  const [line] = access({
    ...refused,
    code: ERROR_TABLE.HBONE_BAD_REQUEST.number,
    hboneStatus: 400,
    originalDst: { address: '10.0.0.2', port: 15_008 },
    hboneAuthority: '',
  });
  assert.deepEqual(
    ['src.addr', 'src.identity', 'dst.addr', 'dst.hbone_addr', 'dst.workload', 'error.code'].map(
      (name) => line?.[name],
    ),
    ['10.0.0.1:4000', record.sourceIdentity, '10.0.0.2:15008', undefined, 'web-1', 'HBONE_BAD_REQUEST'],
  );
});

test('logConnection: a forged source address is told of the pod that forged it, not of whose it is', () => {
  const source = { address: '10.0.0.2', port: 4000 };
  const workload = (fields: Partial<ConnectionClosed>) => access({ source, ...fields })[0]?.['src.workload'];
  assert.equal(workload({}), 'web-1');
  assert.equal(workload({ opened: false, code: ERROR_TABLE.FORGED_SOURCE.number }), 'client');
});

test('logConnection: a failed handshake says what the engine knows beyond the code', () => {
  const detail = 'certificate of trust domain elsewhere, ours is cluster.local';
  const [line] = access({ opened: false, code: ERROR_TABLE.TLS_TRUST_DOMAIN.number, detail });
  assert.equal(line?.['error'], `${ERROR_TABLE.TLS_TRUST_DOMAIN.message}: ${detail}`);
  assert.equal(line?.['error.code'], 'TLS_TRUST_DOMAIN');
  assert.equal(access({ detail })[0]?.['error'], undefined, 'what did not fail has no error');
});

test('logConnection: a refusal names code, policy and what to do', () => {
  const [line] = access({
    opened: false,
    code: ERROR_TABLE.POLICY_DENIED.number,
    hboneStatus: 401,
    nextHop: { address: '0.0.0.0', port: 0 },
    hop: 'passthrough',
  });
  assert.deepEqual(
    [
      line?.['message'],
      line?.['error.code'],
      line?.['policy'],
      line?.['hbone.status'],
      line?.['hint'],
      line?.['dst.addr'],
      line?.['hop'],
    ],
    ['connection failed', 'POLICY_DENIED', 'shop/deny', 401, ERROR_TABLE.POLICY_DENIED.hint, '10.96.0.1:80', undefined],
  );
  const hintFor = (policy: string) => access({ code: ERROR_TABLE.POLICY_DENIED.number }, policy)[0]?.['hint'];
  assert.match(String(hintFor('root/istio_converted_static_strict')), /STRICT: plaintext is refused\.$/);
  assert.match(String(hintFor('shop/converted_peer_authentication_web')), /STRICT: plaintext is refused\.$/);
  assert.match(String(hintFor('shop/groundwire_unreadable_p')), /manifest of AuthorizationPolicy p is invalid/);
});
