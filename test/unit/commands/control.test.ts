// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '#src/config/load.ts';
import type { ControlConfig } from '#src/control/mesh.ts';
import { openControl } from '#src/control.ts';
import { ControlPlane } from '#src/discovery/control-plane.ts';
import { DeltaClient } from '#src/discovery/delta-client.ts';
import { PodRegistryClient } from '#src/discovery/pod-registry-client.ts';
import type { CaptureDecision, RegistryWelcome, ReportedPod } from '#src/discovery/pod-report.ts';
import { createCertificateRequest } from '#src/identity/certificate-request.ts';
import { parseJoinFile } from '#src/identity/join-token.ts';
import { SigningClient } from '#src/identity/signing-client.ts';
import { systemClock } from '#src/model/clock.ts';
import { Logger } from '#src/telemetry/logger.ts';
import { CONTROL_COUNTERS } from '#src/telemetry/part-counters.ts';
import { until } from '../../helpers/until.ts';

const namespace = (labels: string): string =>
  `apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {${labels}}}\n`;
const POD: ReportedPod = {
  uid: 'uid-web',
  name: 'web',
  namespace: 'shop',
  serviceAccount: 'web',
  labels: { app: 'web' },
  annotations: {},
  ips: ['10.244.0.1'],
  containerPorts: [{ name: 'http', port: 8080 }],
  captured: false,
  terminating: false,
  subdomain: '',
};

/** A control plane of our own on a free port, and one node that has joined it. */
async function makeMesh(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const manifests = join(directory, 'manifests');
  mkdirSync(manifests);
  const write = (text: string): void => writeFileSync(join(manifests, 'shop.yaml'), text);
  write(namespace(''));
  const loaded = loadConfig(
    ['control', 'mesh', 'defaults'],
    ['--listen', '127.0.0.1:0', '--monitoring-listen', '127.0.0.1:0'],
    new Map(),
  );
  assert.ok('config' in loaded);
  const config: ControlConfig = {
    ...loaded.config,
    source: { kind: 'directory', manifests },
    stateDirectory: join(directory, 'state'),
  };
  const lines: string[] = [];
  const log = Logger.open(
    {
      write: (line, done) => {
        lines.push(line);
        done();
        return true;
      },
    },
    { level: 'debug', format: 'json', nowMs: () => 0, linesMax: 1000 },
  );
  const control = await openControl(config, log);
  t.after(() => control.close());
  const join_ = parseJoinFile(control.makeJoinFile('a', 60_000));
  const controlPlane = new ControlPlane({
    address: `127.0.0.1:${control.port}`,
    readRootsPem: () => join_.rootsPem ?? '',
    readToken: () => join_.token,
    clusterId: 'Kubernetes',
  });
  const protocols = new Map<string, string>();
  const xds = new DeltaClient({
    controlPlane,
    clusterId: 'Kubernetes',
    node: { node: 'a', address: '127.0.0.1', podName: 'groundwire-a', podNamespace: 'groundwire-system' },
    sink: ({ upserts, removals }) => {
      for (const name of removals) protocols.delete(name);
      for (const one of upserts)
        if (one.kind === 'workload') protocols.set(one.workload.uid, one.workload.tunnelProtocol);
      return [];
    },
    store: { record() {} },
    clock: systemClock,
    log,
  });
  xds.open();
  t.after(() => xds.close());
  const pods: ReportedPod[] = [];
  const decisions: CaptureDecision[] = [];
  const rejected: string[] = [];
  const welcomes: RegistryWelcome[] = [];
  const registry = new PodRegistryClient({
    controlPlane,
    node: 'a',
    addresses: [],
    snapshot: () => pods,
    onWelcome: (welcome) => welcomes.push(welcome),
    onDecision: (decision) => decisions.push(decision),
    onRejected: (_uid, reason) => rejected.push(reason),
    onProblems: () => {},
    openTokenLine: () => () => true,
    clock: systemClock,
    log,
  });
  registry.open();
  t.after(() => registry.close());
  await until('the node is welcome', () => welcomes.length > 0);
  return { control, write, manifests, controlPlane, protocols, registry, pods, decisions, rejected, welcomes, lines };
}

test("control: a node gets its part of the cluster's addresses", async (t) => {
  const { welcomes } = await makeMesh(t);
  assert.deepEqual(welcomes[0], { trustDomain: 'cluster.local', clusterId: 'Kubernetes', podCidrs: ['10.244.0.0/24'] });
});

test('control: a label takes a pod in, its capture makes it HBONE, and its removal withdraws HBONE before the pod is let go', async (t) => {
  const { write, registry, protocols, decisions } = await makeMesh(t);
  const uid = 'Kubernetes//Pod/shop/web';
  registry.started(POD);
  await until(
    'the pod is known and stays out',
    () => protocols.get(uid) === 'NONE' && decisions.at(-1)?.capture === false,
  );

  write(namespace('istio.io/dataplane-mode: ambient'));
  await until('the pod is taken in', () => decisions.at(-1)?.capture === true);
  assert.equal(protocols.get(uid), 'NONE', 'nobody is told to use HBONE before it is served');
  registry.captured(POD.uid, true);
  await until('the pod speaks HBONE', () => protocols.get(uid) === 'HBONE');

  write(namespace(''));
  await until('the pod is let go', () => decisions.at(-1)?.capture === false);
  await until('the pod is dialled in plaintext', () => protocols.get(uid) === 'NONE');
});

test("control: signs for identities of pods on the caller's own node, and for no other", async (t) => {
  const { controlPlane, registry, protocols } = await makeMesh(t);
  registry.started(POD);
  await until('the pod is known', () => protocols.size === 1);
  const signing = new SigningClient(controlPlane, systemClock);
  t.after(() => signing.close());
  const ask = async (serviceAccount: string) => {
    const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount };
    const { csrPem } = createCertificateRequest(identity);
    return signing.sign(identity, csrPem, 60);
  };
  assert.equal((await ask('web')).length, 2);
  await assert.rejects(ask('admin'), /PERMISSION_DENIED/);
});

test('control: a pod that cannot be an object is refused with the reason, and others are not held up by it', async (t) => {
  const { registry, rejected, protocols } = await makeMesh(t);
  registry.started({ ...POD, uid: 'uid-bad', name: 'Not A Name' });
  registry.started(POD);
  await until('the bad one is refused', () => rejected.length > 0);
  assert.match(rejected[0] ?? '', /Not A Name/);
  await until('the good one is known', () => protocols.has('Kubernetes//Pod/shop/web'));
  assert.equal(protocols.size, 1);
});

test('control: a broken manifest is named in the log with file and line, and the mesh stays as it was', async (t) => {
  const { write, registry, decisions, lines } = await makeMesh(t);
  write(namespace('istio.io/dataplane-mode: ambient'));
  registry.started(POD);
  await until('the pod is taken in', () => decisions.at(-1)?.capture === true);
  write('apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: [1');
  await until('the problem is told', () =>
    lines.some((line) => line.includes('manifest refused') && line.includes('shop.yaml:')),
  );
  assert.equal(decisions.at(-1)?.capture, true);
});

test('control: an accepted change is one line, and what cannot be read is told at once and when it is well again', async (t) => {
  const { write, manifests, lines } = await makeMesh(t);
  const told = (...parts: string[]): boolean => lines.some((line) => parts.every((part) => line.includes(part)));
  assert.ok(told('manifests in force', '"objects":1', 'Namespace 1'));
  write(`${namespace('team: a')}---\n${namespace('').replace('shop', 'other')}`);
  await until('the change is told', () => told('manifests changed', '"added":"Namespace other"', 'Namespace shop'));
  symlinkSync('nowhere', join(manifests, 'dangling.yaml'));
  await until('the link is told', () => told('there is no version of it in force', 'dangling.yaml'));
  rmSync(join(manifests, 'dangling.yaml'));
  await until('its end is told', () => told('manifest problem solved', 'dangling.yaml'));
});

test('control: tells Prometheus what it does, and whether it serves', async (t) => {
  const { control, write, controlPlane, registry, protocols, decisions } = await makeMesh(t);
  const get = async (path: string): Promise<Response> => fetch(`http://127.0.0.1:${control.monitoringPort}${path}`);
  assert.equal(await (await get('/healthz/ready')).text(), 'ready\n');
  const value = async (metric: string): Promise<number> => {
    const text = await (await get('/metrics')).text();
    const line = text.split('\n').find((one) => one.startsWith(`${metric} `));
    assert.ok(line, `${metric} in ${text}`);
    return Number(line.split(' ').at(-1));
  };
  registry.started(POD);
  await until('the pod is known', () => protocols.size === 1 && decisions.length > 0);
  const signing = new SigningClient(controlPlane, systemClock);
  t.after(() => signing.close());
  const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'admin' };
  const { csrPem } = createCertificateRequest(identity);
  await assert.rejects(signing.sign(identity, csrPem, 60));
  write(`${namespace('')}---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 0}]}\n`);
  for (const [metric, expected] of [
    ['pilot_xds', 1],
    ['groundwire_nodes{state="attached"}', 1],
    ['groundwire_registered_pods{state="uncaptured"}', 1],
    ['groundwire_objects{kind="Pod"}', 1],
    ['citadel_server_csr_count', 1],
    ['citadel_server_success_cert_issuance_count', 0],
    ['groundwire_certificates_refused_total{reason="not_entitled"}', 1],
    ['galley_validation_passed', 1],
    ['galley_validation_failed', 1],
    ['groundwire_manifest_problems{in_force="nothing"}', 1],
    ['groundwire_control_total{name="registry_attached"}', 1],
  ] as const) {
    const endMs = performance.now() + 10_000;
    while ((await value(metric)) !== expected && performance.now() < endMs) await sleep(20);
    assert.equal(await value(metric), expected, metric);
  }
  const scraped = await (await get('/metrics')).text();
  const names = [...scraped.matchAll(/^groundwire_control_total\{name="(\w+)"\}/gm)].map(([, name]) => name);
  assert.deepEqual(new Set(names), new Set(Object.keys(CONTROL_COUNTERS)), 'docs/counters.md has these and no other');
  assert.ok((await value('pilot_xds_pushes{type="wds"}')) > 0);
  assert.equal(await value('pilot_total_xds_rejects{type="wads"}'), 0);
  assert.ok((await value('citadel_server_root_cert_expiry_timestamp')) > Date.now() / 1000);
  assert.equal((await get('/nowhere')).status, 404);
});
