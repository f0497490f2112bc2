// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { readinessRoutes } from '#src/api/readiness.ts';
import { command as agent } from '#src/commands/agent.ts';
import { loadConfig } from '#src/config/load.ts';
import { type Config, settingsOf } from '#src/config/table.ts';

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: number };
}

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly mountPropagation?: string;
}

interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly valueFrom: { readonly fieldRef: { fieldPath: string } } }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts: readonly Mount[];
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly enableServiceLinks: boolean;
  readonly hostNetwork: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly [Container];
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
}

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly template: { readonly spec: PodSpec } };
}

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const objects = parseAllDocuments(read('daemonset/groundwire.yaml')).map(
  (document) => document.toJS() as KubernetesObject,
);

function find(kind: string): KubernetesObject {
  const object = objects.find((candidate) => candidate.kind === kind);
  assert.ok(object, kind);
  return object;
}

const pod = find('DaemonSet').spec.template.spec;
const [container] = pod.containers;

/** What Kubernetes puts in place of `$(NAME)`, for one pod. */
const FIELDS: Readonly<Record<string, string>> = {
  'metadata.name': 'groundwire-x2x4z',
  'metadata.namespace': find('DaemonSet').metadata.namespace,
  'spec.nodeName': 'node-1',
  'status.hostIP': '10.0.0.1',
};

function loadArgs(): Config<(typeof agent.parts)[number]> {
  const values = new Map(container.env.map(({ name, valueFrom }) => [name, FIELDS[valueFrom.fieldRef.fieldPath]]));
  const args = container.args.slice(1).map((arg) =>
    arg.replaceAll(/\$\((\w+)\)/g, (_, name: string) => {
      const value = values.get(name);
      assert.ok(value !== undefined, `${arg}: there is no variable ${name} with a field of the pod`);
      return value;
    }),
  );
  const loaded = loadConfig(agent.parts, args, new Map());
  assert.ok('config' in loaded, JSON.stringify(loaded));
  return loaded.config;
}

test('daemonset: its command line is one that the agent accepts, with nothing missing', () => {
  assert.equal(container.args[0], 'agent');
  const { node } = loadArgs();
  assert.deepEqual([node.name, node.addresses], ['node-1', ['10.0.0.1']]);
});

test('daemonset: it is to istiod the pod and the namespace that its token is of', () => {
  const { upstream } = loadArgs();
  assert.equal(upstream.agentPod, 'groundwire-x2x4z');
  assert.equal(upstream.agentNamespace, find('DaemonSet').metadata.namespace);
});

test('daemonset: deleting what was applied takes nothing away that istiod, or its ztunnel, has', () => {
  assert.deepEqual(
    objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`),
    ['DaemonSet istio-system/groundwire'],
  );
  // By this name istiod's defaults let an agent of a node ask for certificates of other identities.
  assert.equal(pod.serviceAccountName, 'ztunnel');
});

test('daemonset: each variable of it is used, and none is taken for a setting', () => {
  for (const { name } of container.env) {
    assert.ok(
      container.args.some((arg) => arg.includes(`$(${name})`)),
      name,
    );
    assert.doesNotMatch(name, /^GROUNDWIRE_/);
  }
  assert.equal(pod.enableServiceLinks, false, 'Services leave no variables in its environment');
});

test('daemonset: ports and probes are those of the table and of the agent', () => {
  const { api } = loadArgs();
  const portOf = (name: string) => container.ports.find((port) => port.name === name)?.containerPort;
  assert.equal(portOf('metrics'), api.metrics.port);
  assert.equal(portOf('ready'), api.ready.port);
  const served = readinessRoutes({ pending: [] }).map(({ path }) => path);
  for (const { httpGet } of [container.readinessProbe, container.livenessProbe]) {
    assert.equal(httpGet.port, api.ready.port);
    assert.equal(api.ready.host, '::', 'the kubelet probes over the family of the cluster');
    assert.ok(served.includes(httpGet.path), httpGet.path);
  }
  assert.notEqual(container.livenessProbe.httpGet.path, container.readinessProbe.httpGet.path);
});

test('daemonset: what the agent keeps is on the node, and what it mounts reaches it', () => {
  const { kernel, node, state, upstream } = loadArgs();
  const hostPathAt = (path: string) => {
    const mount = container.volumeMounts.find(({ mountPath }) => mountPath === path);
    return pod.volumes.find(({ name }) => name === mount?.name)?.hostPath?.path;
  };
  for (const path of [kernel.bpffs, node.runDirectory, state.directory, '/sys/fs/cgroup', '/run/netns']) {
    assert.equal(hostPathAt(path), path);
  }
  const propagation = container.volumeMounts.find(({ mountPath }) => mountPath === kernel.bpffs)?.mountPropagation;
  assert.equal(propagation, 'Bidirectional');
  const files = [upstream.tokenFile, upstream.rootCertificateFile ?? ''];
  for (const file of files) {
    assert.ok(
      container.volumeMounts.some(({ mountPath }) => file.startsWith(`${mountPath}/`)),
      file,
    );
  }
});

test('daemonset: privileged as a whole, in a form that the API server takes', () => {
  assert.equal(pod.hostNetwork, true);
  const { privileged, allowPrivilegeEscalation = true, capabilities } = container.securityContext;
  // Privileged with escalation forbidden is refused; capabilities beside it would only mislead.
  assert.deepEqual([privileged, allowPrivilegeEscalation, capabilities], [true, true, undefined]);
});

test('daemonset: an agent that drains to its deadline is not killed before', () => {
  assert.ok(loadArgs().engine.drainDeadlineMs + 5000 <= pod.terminationGracePeriodSeconds * 1000);
});

test('daemonset: every setting without which an agent cannot run is in the manifest', () => {
  for (const part of agent.parts) {
    for (const { flag, required } of settingsOf(part).values()) {
      if (!required) continue;
      assert.ok(
        container.args.some((arg) => arg.startsWith(`--${flag}=`)),
        flag,
      );
    }
  }
});

test('Dockerfile: the image is built with every package that the build asks for', () => {
  const [build = ''] = read('daemonset/Dockerfile').split(/^FROM .*slim$/m);
  const rows = read('scripts/setup-packages')
    .split('\n')
    .filter((line) => /^build[,\s]/.test(line));
  assert.ok(rows.length > 0);
  for (const row of rows) {
    const [wanted = ''] = row.trim().split(/\s+/).slice(2);
    assert.ok(
      wanted.split('|').some((name) => new RegExp(`\\s${name.replaceAll('+', '\\+')}\\s`).test(build)),
      wanted,
    );
  }
});
