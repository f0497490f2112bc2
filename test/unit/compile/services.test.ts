// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import test from 'node:test';
import { compileYaml, podYaml } from './compile-yaml.ts';

const service = (name: string, spec: string, namespace = 'shop', meta = ''): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: ${namespace}${meta}}\nspec: ${spec}\n---\n`;
const entry = (name: string, spec: string, namespace = 'shop', meta = ''): string =>
  `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ${name}, namespace: ${namespace}${meta}}\nspec: ${spec}\n---\n`;
const slice = (of: string, endpoints: string, more = ''): string =>
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${of}-1, namespace: shop, labels: {kubernetes.io/service-name: ${of}}}\naddressType: IPv4\nports: [{name: '', port: 7000}]\nendpoints: ${endpoints}\n${more}---\n`;
const WEB = 'shop/web.shop.svc.cluster.local';
const told = (text: string): string[] =>
  compileYaml(text).notices.map(({ code, object, message }) => `${code} ${object}: ${message}`);
/** The target of a Service's port in a pod. */
const targetIn = (text: string, pod: string, key = WEB, servicePort = 443): number | undefined =>
  compileYaml(text)
    .workloads.get(`Kubernetes//Pod/${pod}`)
    ?.services.get(key)
    ?.find((port) => port.servicePort === servicePort)?.targetPort;

test('compileServices: TCP has its port whatever UDP has on the same number, and UDP is told', () => {
  const ports = (first: string, second: string): string =>
    podYaml('shop', 'web', '10.0.0.1') + service('web', `{selector: {app: web}, ports: [${first}, ${second}]}`);
  const udp = '{name: quic, port: 443, protocol: UDP, targetPort: 9443}';
  const tcp = '{name: tls, port: 443, targetPort: 8443}';
  for (const text of [ports(udp, tcp), ports(tcp, udp)]) {
    assert.equal(targetIn(text, 'shop/web'), 8443);
    assert.deepEqual(
      compileYaml(text)
        .services.get(WEB)
        ?.ports.map((port) => port.targetPort),
      [8443],
    );
  }
  assert.match(
    told(ports(udp, tcp))[0] ?? '',
    /^NOT_CARRIED Service shop\/web: spec\.ports\[0\]: .*UDP 443.*\(test\.yaml:\d+\)$/,
  );
  assert.deepEqual(compileYaml(service('web', '{ports: [{port: 53, protocol: UDP}]}')).services.get(WEB)?.ports, []);
});

test('compileServices: exportTo says who sees a Service or an entry', () => {
  const seen = (exportTo: string) => {
    const spec = `{hosts: [a.example], ports: [{name: tcp, number: 80, protocol: TCP}], exportTo: ${exportTo}}`;
    const found = compileYaml(entry('a', spec)).services.get('shop/a.example');
    return found && [found.visibility, ...(found.extension?.exportTo ?? [])];
  };
  assert.deepEqual(seen('[]'), ['PUBLIC']);
  assert.deepEqual(seen('["*"]'), ['PUBLIC']);
  assert.deepEqual(seen('["."]'), ['NAMESPACE']);
  assert.deepEqual(seen('[shop]'), ['NAMESPACE']);
  assert.deepEqual(seen('[".", bank]'), ['NAMESPACE', 'bank', 'shop']);
  assert.deepEqual(seen('[bank]'), ['NAMESPACE', 'bank']);
  assert.equal(seen('["~"]'), undefined);
  const annotated = service(
    'web',
    '{ports: [{port: 80}]}',
    'shop',
    ", annotations: {networking.istio.io/exportTo: '., bank'}",
  );
  assert.deepEqual(compileYaml(annotated).services.get(WEB)?.extension?.exportTo, ['bank', 'shop']);
});

test('compileServices: of a name that two namespaces claim the Service is canonical, else the oldest entry, in any order', () => {
  const claim = (namespace: string, created: string, more = ''): string =>
    entry(
      'claim',
      `{hosts: [web.shop.svc.cluster.local], ports: [{name: http, number: 80, protocol: TCP}], resolution: STATIC${more}}`,
      namespace,
      `, creationTimestamp: ${created}`,
    );
  const canonical = (text: string): string[] =>
    [...compileYaml(text).services].flatMap(([key, one]) => (one.canonical ? [key.split('/', 1)[0] as string] : []));
  const own = service('web', '{ports: [{port: 80}]}', 'shop', ', creationTimestamp: 2026-01-03T00:00:00Z');
  const claims = [claim('bank', '2026-01-02T00:00:00Z'), claim('aaa', '2026-01-02T00:00:01Z')];
  for (const order of [
    [own, ...claims],
    [...claims, own],
  ])
    assert.deepEqual(canonical(order.join('')), ['shop']);
  assert.deepEqual(canonical(claims.join('')), ['bank']);
  // An address is claimed like a name.
  const address = compileYaml(own).services.get(WEB)?.addresses[0]?.address;
  const byAddress = entry(
    'x',
    `{hosts: [x.example], addresses: [${address}], ports: [{name: tcp, number: 80, protocol: TCP}]}`,
    'bank',
  );
  assert.deepEqual(canonical(byAddress + own), ['shop']);
});

test('compileServices: several entries of a namespace make up one host, each with its own ports and endpoints', () => {
  const part = (name: string, port: number, address: string): string =>
    entry(
      name,
      `{hosts: [a.example], ports: [{name: p, number: ${port}, protocol: TCP}], resolution: STATIC, endpoints: [{address: ${address}}]}`,
    );
  const mesh = compileYaml(part('one', 80, '192.0.2.1') + part('two', 443, '192.0.2.2'));
  const host = mesh.services.get('shop/a.example');
  assert.deepEqual(
    host?.ports.map(({ servicePort, targetPort }) => [servicePort, targetPort]),
    [
      [80, 0],
      [443, 0],
    ],
  );
  const served = [...mesh.workloads.values()].map(({ addresses, services }) => [
    addresses[0],
    services.get('shop/a.example')?.map(({ servicePort, targetPort }) => [servicePort, targetPort]),
  ]);
  assert.deepEqual(served, [
    ['192.0.2.1', [[80, 80]]],
    ['192.0.2.2', [[443, 443]]],
  ]);
  assert.match(
    told(part('one', 80, '192.0.2.1') + part('two', 80, '192.0.2.2')).join(),
    /HOSTNAME_TAKEN ServiceEntry shop\/two: spec\.ports: port 80 of a\.example is that of ServiceEntry shop\/one/,
  );
});

test('compileServices: the port of an entry that selects pods is by name that of the pod, unless a target is written', () => {
  const pod = podYaml('shop', 'api', '10.0.0.1').replace(
    'containers: []',
    'containers: [{ports: [{name: admin, containerPort: 9090}]}]',
  );
  const text = (port: string): string =>
    pod +
    entry(
      'api',
      `{hosts: [api.example], ports: [${port}], resolution: STATIC, workloadSelector: {labels: {app: api}}}`,
    );
  const key = 'shop/api.example';
  assert.equal(targetIn(text('{name: admin, number: 8002, protocol: TCP}'), 'shop/api', key, 8002), 9090);
  assert.equal(targetIn(text('{name: other, number: 8002, protocol: TCP}'), 'shop/api', key, 8002), 8002);
  assert.equal(targetIn(text('{name: admin, number: 8002, protocol: TCP, targetPort: 1}'), 'shop/api', key, 8002), 1);
});

test('compileServices: addresses of each family that a Service asks for', () => {
  const families = (spec: string): string[] =>
    (compileYaml(service('web', `{ports: [{port: 80}], ${spec}}`)).services.get(WEB)?.addresses ?? []).map(
      ({ address }) => (address.includes(':') ? 'IPv6' : 'IPv4'),
    );
  assert.deepEqual(families('type: ClusterIP'), ['IPv4']);
  assert.deepEqual(families('ipFamilies: [IPv6]'), ['IPv6']);
  assert.deepEqual(families('ipFamilies: [IPv6, IPv4]'), ['IPv6', 'IPv4']);
  assert.deepEqual(families('ipFamilyPolicy: PreferDualStack'), ['IPv4', 'IPv6']);
  assert.deepEqual(families('ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6]'), ['IPv6', 'IPv4']);
  assert.deepEqual(families('ipFamilyPolicy: RequireDualStack, clusterIP: 10.96.0.9'), ['IPv4', 'IPv6']);
  assert.deepEqual(families('clusterIP: fd96::17'), ['IPv6']);
  assert.deepEqual(families('clusterIP: None, ipFamilyPolicy: RequireDualStack'), []);
});

test('compileServices: an ExternalName, an affinity and the names of ports are told to nodes', () => {
  const of = (spec: string) => compileYaml(service('web', spec)).services.get(WEB);
  assert.deepEqual(of('{type: ExternalName, externalName: Ext.Example.}')?.extension?.externalName, 'ext.example');
  assert.deepEqual(of('{type: ExternalName, externalName: ext.example}')?.addresses, []);
  assert.equal(of('{ports: [{port: 80}], sessionAffinity: ClientIP}')?.extension?.affinityTimeoutSeconds, 10_800);
  const config = 'sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}';
  assert.equal(
    of(`{ports: [{port: 80}], sessionAffinity: ClientIP, ${config}}`)?.extension?.affinityTimeoutSeconds,
    60,
  );
  assert.equal(of(`{ports: [{port: 80}], ${config}}`)?.extension, undefined);
  assert.deepEqual(of('{ports: [{name: dns, port: 53, protocol: UDP}]}')?.extension?.ports, [
    { name: 'dns', protocol: 'udp', port: 53 },
  ]);
});

test('compileMesh: a pod that is told to end is no endpoint, unless nobody is left who is ready', () => {
  const pod = (name: string, meta: string, status = ''): string =>
    podYaml('shop', name, `10.0.0.${name.length}`)
      .replace(`app: ${name}`, 'app: web')
      .replace('metadata: {', `metadata: {${meta}`)
      .replace('podIP:', `${status}podIP:`);
  const ending = 'deletionTimestamp: "2026-01-01T00:00:00Z", ';
  const notReady = 'conditions: [{type: Ready, status: "False"}], ';
  const endpoints = (...parts: string[]): string[] =>
    [...compileYaml(parts.join('')).workloads.values()].flatMap(({ name, services, status }) =>
      services.has(WEB) ? [`${name} ${status}`] : [],
    );
  const plain = service('web', '{selector: {app: web}, ports: [{port: 80}]}');
  assert.deepEqual(endpoints(plain, pod('old', ending), pod('new1', '')), ['new1 HEALTHY']);
  assert.deepEqual(endpoints(plain, pod('old', ending), pod('new1', '', notReady)), ['new1 UNHEALTHY', 'old HEALTHY']);
  assert.deepEqual(endpoints(plain, pod('old', ending)), ['old HEALTHY']);
  assert.deepEqual(endpoints(plain, pod('old', ending, notReady)), ['old UNHEALTHY']);
  const published = service('web', '{selector: {app: web}, ports: [{port: 80}], publishNotReadyAddresses: true}');
  assert.deepEqual(endpoints(published, pod('old', ending), pod('new1', '')), ['new1 HEALTHY', 'old HEALTHY']);
});

test('compileMesh: a slice written by hand: the pod that it names, names of endpoints, those that are ending', () => {
  const selectorless = service('web', '{ports: [{port: 443}]}');
  const pod = podYaml('shop', 'vault', '10.0.0.1');
  const ref = (more = ''): string =>
    `[{addresses: [10.0.0.1], hostname: v-0, targetRef: {kind: Pod, name: vault${more}}}]`;
  assert.equal(targetIn(selectorless + pod + slice('web', ref()), 'shop/vault'), 7000);
  const named = compileYaml(selectorless + pod + slice('web', ref())).workloads.get('Kubernetes//Pod/shop/vault');
  assert.deepEqual(named?.hostnames, new Map([[WEB, 'v-0']]));
  assert.equal(targetIn(selectorless + pod + slice('web', ref(', uid: other')), 'shop/vault'), undefined);
  const elsewhere = '[{addresses: [10.0.0.9], targetRef: {kind: Pod, name: vault}}]';
  assert.match(told(selectorless + pod + slice('web', elsewhere)).join(), /^ENDPOINT_DROPPED .*another uid or address/);
  const addresses = (endpoints: string): string[] =>
    [...compileYaml(selectorless + slice('web', endpoints)).workloads.values()].map(
      ({ addresses: [address], status }) => `${address} ${status}`,
    );
  const leaving = '{addresses: [10.0.0.2], conditions: {ready: false, serving: true, terminating: true}}';
  assert.deepEqual(addresses(`[{addresses: [10.0.0.1]}, ${leaving}]`), ['10.0.0.1 HEALTHY']);
  assert.deepEqual(addresses(`[${leaving}]`), ['10.0.0.2 HEALTHY']);
  assert.match(told(slice('web', '[]')).join(), /^ENDPOINT_DROPPED .*there is no Service shop\/web/);
  const selecting = service('web', '{selector: {app: a}, ports: [{port: 443}]}');
  assert.match(told(selecting + slice('web', '[]')).join(), /^ENDPOINT_DROPPED .*has a selector/);
});

test('compileMesh: a pod has its hostname below the headless Service that its subdomain names', () => {
  const pod = podYaml('shop', 'web', '10.0.0.1').replace('spec: {', 'spec: {hostname: w-0, subdomain: web, ');
  const names = (text: string) => compileYaml(text).workloads.get('Kubernetes//Pod/shop/web')?.hostnames;
  const headless = service('web', '{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}');
  assert.deepEqual(names(pod + headless), new Map([[WEB, 'w-0']]));
  assert.equal(names(pod + headless.replaceAll('web', 'other')), undefined);
});
