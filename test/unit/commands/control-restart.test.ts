// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '#src/config/load.ts';
import { type Control, openControl } from '#src/control.ts';
import { ControlPlane } from '#src/discovery/control-plane.ts';
import { DeltaClient } from '#src/discovery/delta-client.ts';
import { PodRegistryClient } from '#src/discovery/pod-registry-client.ts';
import type { ReportedPod } from '#src/discovery/pod-report.ts';
import { parseJoinFile } from '#src/identity/join-token.ts';
import { systemClock } from '#src/model/clock.ts';
import { Logger } from '#src/telemetry/logger.ts';
import { temporaryFolder, until } from '../discovery/loopback.ts';

const GROUNDWIRE = fileURLToPath(new URL('../../../bin/groundwire', import.meta.url));
// Another port than the one that a control plane of this machine may have.
const ELSEWHERE = ['--monitoring-listen', '127.0.0.1:0'];
const NAMESPACE =
  'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n';
const POLICY =
  'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nobody, namespace: shop}\nspec: {action: ALLOW}\n';
const POD: ReportedPod = {
  uid: 'uid-web',
  name: 'web',
  namespace: 'shop',
  serviceAccount: 'web',
  labels: {},
  annotations: {},
  ips: ['10.244.0.1'],
  containerPorts: [],
  captured: false,
  terminating: false,
  subdomain: '',
};

/** A place for a control plane that is started several times, and what an agent of it sees. */
function makePlace(t: TestContext) {
  const directory = temporaryFolder(t);
  const manifests = join(directory, 'manifests');
  const stateDirectory = join(directory, 'state');
  mkdirSync(manifests);
  const write = (file: string, text: string): void => writeFileSync(join(manifests, file), text);
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
  const start = async (port = 0): Promise<Control> => {
    const flags = ['--listen', `127.0.0.1:${port}`, ...ELSEWHERE];
    const loaded = loadConfig(['control', 'mesh', 'defaults'], flags, new Map());
    assert.ok('config' in loaded);
    const control = await openControl(
      { ...loaded.config, source: { kind: 'directory', manifests }, stateDirectory },
      log,
    );
    t.after(() => control.close());
    return control;
  };
  const join_ = (control: Control, node = 'a'): ControlPlane => {
    const { rootsPem = '', token } = parseJoinFile(control.makeJoinFile(node, 60_000));
    return new ControlPlane({
      address: `127.0.0.1:${control.port}`,
      readRootsPem: () => rootsPem,
      readToken: () => token,
      clusterId: 'Kubernetes',
    });
  };
  return { directory, manifests, stateDirectory, write, lines, log, start, join: join_ };
}

/** What an agent holds: names of resources, and every removal that it was told. */
function follow(t: TestContext, controlPlane: ControlPlane, log: Logger) {
  const held = new Set<string>();
  const removed: string[] = [];
  const client = new DeltaClient({
    controlPlane,
    clusterId: 'Kubernetes',
    node: { node: 'a', address: '127.0.0.1', podName: 'groundwire-a', podNamespace: 'groundwire-system' },
    sink: ({ upserts, removals }) => {
      for (const name of removals) held.delete(name);
      removed.push(...removals);
      for (const one of upserts) {
        if (one.kind === 'workload') held.add(`${one.workload.name} ${one.workload.tunnelProtocol}`);
        if (one.kind === 'authorization') held.add(one.authorization.name);
      }
      return [];
    },
    store: { record() {} },
    clock: systemClock,
    log,
  });
  client.open();
  t.after(() => client.close());
  return { client, held, removed };
}

/** A node with one pod, which it captures when told. */
function attach(t: TestContext, controlPlane: ControlPlane, node: string, pod: ReportedPod, log: Logger) {
  const registry = new PodRegistryClient({
    controlPlane,
    node,
    addresses: [],
    snapshot: () => [],
    onWelcome: () => registry.started(pod),
    onDecision: () => registry.captured(pod.uid, true),
    onRejected: () => {},
    onProblems: () => {},
    openTokenLine: () => () => true,
    clock: systemClock,
    log,
  });
  registry.open();
  t.after(() => registry.close());
  return registry;
}

test('control: a restart takes no pod and no policy from an agent, before its node has come back', async (t) => {
  const { start, join: joinMesh, write, log, lines, manifests } = makePlace(t);
  write('namespace.yaml', NAMESPACE);
  write('policy.yaml', POLICY);
  const first = await start();
  const controlPlane = joinMesh(first);
  const { client, held, removed } = follow(t, controlPlane, log);
  const registry = attach(t, controlPlane, 'a', POD, log);
  await until('the pod and the policy are known', () => held.has('web HBONE') && held.has('nobody'));
  registry.close();
  await first.close();
  await until('the loss is noticed', () => client.status().state === 'waiting');

  // At its worst: a file that was broken meanwhile, then no directory at all.
  write('policy.yaml', 'spec: [');
  const second = await start(first.port);
  await until('synced', () => client.status().synced);
  await second.close();
  await until('the loss is noticed', () => client.status().state === 'waiting');
  renameSync(manifests, `${manifests}-away`);
  const third = await start(first.port);
  await until('synced again', () => client.status().synced);
  // What was to be taken would have been by what is published later.
  attach(t, joinMesh(third, 'b'), 'b', { ...POD, uid: 'uid-later', name: 'later', ips: ['10.244.1.1'] }, log);
  await until('what came later', () => held.has('later HBONE'));
  assert.deepEqual(removed, []);
  assert.ok(lines.some((line) => line.includes('policy.yaml:1')));
  assert.ok(lines.some((line) => line.includes('what was read last stays in force')));
});

test('groundwire control: without manifests and without a memory of any it ends with 74 and says why', (t) => {
  const { directory, stateDirectory } = makePlace(t);
  const { status, stderr } = spawnSync(
    GROUNDWIRE,
    [
      'control',
      '--manifests',
      join(directory, 'nowhere'),
      '--state-dir',
      stateDirectory,
      '--listen',
      '127.0.0.1:0',
      ...ELSEWHERE,
    ],
    { encoding: 'utf8', timeout: 20_000 },
  );
  assert.equal(status, 74, stderr);
  assert.match(stderr, /nowhere cannot be read, and no earlier run has left any/);
  assert.equal(existsSync(stateDirectory), false, 'and no key was made for it');
});

test('groundwire control: a state directory that another one works in is refused with 75, by whose it is', async (t) => {
  const { start, stateDirectory, manifests, write, lines } = makePlace(t);
  write('namespace.yaml', NAMESPACE);
  const first = await start();
  const { status, stderr } = spawnSync(
    GROUNDWIRE,
    ['control', '--manifests', manifests, '--state-dir', stateDirectory, '--listen', '127.0.0.1:0', ...ELSEWHERE],
    { encoding: 'utf8', timeout: 20_000 },
  );
  assert.equal(status, 75, stderr);
  assert.ok(stderr.includes(`in use by another control plane, process ${process.pid} (`), stderr);
  assert.match(stderr, /stop that one, or give this one another --state-dir/);
  await assert.rejects(start(), /in use by another control plane/);
  assert.deepEqual(
    lines.filter((line) => line.includes('not closed')),
    [],
  );
  await first.close();
  assert.equal(existsSync(join(stateDirectory, 'control.lock')), false);
  await (await start()).close();
});

test('groundwire control: a damaged registry ends it with 78, and with what to do', async (t) => {
  const { start, stateDirectory, manifests, write } = makePlace(t);
  write('namespace.yaml', NAMESPACE);
  await (await start()).close();
  writeFileSync(join(stateDirectory, 'registry.json'), '{}');
  const { status, stderr } = spawnSync(
    GROUNDWIRE,
    ['control', '--manifests', manifests, '--state-dir', stateDirectory, '--listen', '127.0.0.1:0', ...ELSEWHERE],
    { encoding: 'utf8', timeout: 20_000 },
  );
  assert.equal(status, 78, stderr);
  assert.match(stderr, /registry\.json is damaged.*Restore .*backup/);
});

test('groundwire control token: makes no root by the way', async (t) => {
  const { directory, stateDirectory, start, write } = makePlace(t);
  const token = (...flags: string[]) =>
    spawnSync(GROUNDWIRE, ['control', 'token', '--node', 'a', ...flags], { encoding: 'utf8', timeout: 20_000 });
  const wrong = join(directory, 'typo');
  const refused = token('--state-dir', wrong);
  assert.equal(refused.status, 66);
  assert.match(refused.stderr, /typo is not the state directory of a control plane/);
  assert.equal(existsSync(wrong), false);
  assert.equal(token('--state-dir', wrong, '--init').status, 0);
  assert.equal(token('--state-dir', wrong).status, 0, 'it has been made');
  write('namespace.yaml', NAMESPACE);
  const control = await start();
  const made = token('--state-dir', stateDirectory);
  assert.equal(parseJoinFile(made.stdout).rootsPem?.trim(), control.rootsPem.trim());
});
