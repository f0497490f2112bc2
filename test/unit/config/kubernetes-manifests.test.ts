// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { command as agent } from '#src/commands/agent.ts';
import { command as control } from '#src/commands/control.ts';
import { loadConfig } from '#src/config/load.ts';
import type { PartName } from '#src/config/table.ts';
import { WATCHED_RESOURCES } from '#src/kubernetes/watched-resources.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly spec?: {
    readonly group?: string;
    readonly names?: { readonly plural: string };
    readonly template?: { readonly spec: { readonly containers: readonly [{ readonly args: readonly string[] }] } };
  };
}

function read(file: string): KubernetesObject[] {
  const text = readFileSync(new URL(`../../../daemonset/${file}`, import.meta.url), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
}

const objects = read('kubernetes.yaml');

function find(kind: string, name: string): KubernetesObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found;
}

/** `group/resource` of everything that a role lets be done by that verb. */
function granted(role: KubernetesObject, verb: string): string[] {
  const rules = (role.rules ?? []).filter(({ verbs }) => verbs.includes(verb));
  return rules.flatMap(({ apiGroups, resources }) =>
    apiGroups.flatMap((group) => resources.map((resource) => `${group}/${resource}`)),
  );
}

/** `/api/v1/pods` → `/pods`, `/apis/apps/v1/deployments` → `apps/deployments`. */
function groupResource(path: string): string {
  const [, kind, ...rest] = path.split('/');
  return kind === 'api' ? `/${rest[1]}` : `${rest[0]}/${rest[2]}`;
}

test('kubernetes.yaml: the control plane may read exactly what it follows', () => {
  const followed = WATCHED_RESOURCES.map(({ path }) => groupResource(path)).sort();
  for (const verb of ['get', 'list', 'watch'])
    assert.deepEqual(granted(find('ClusterRole', 'groundwire-control'), verb).sort(), followed, verb);
});

test('kubernetes.yaml: an agent may read pods and namespaces, and patch pods, and nothing else', () => {
  const role = find('ClusterRole', 'groundwire-agent');
  for (const verb of ['list', 'watch']) assert.deepEqual(granted(role, verb).sort(), ['/namespaces', '/pods'], verb);
  assert.deepEqual(granted(role, 'patch'), ['/pods']);
  const verbs = new Set((role.rules ?? []).flatMap((rule) => rule.verbs));
  assert.deepEqual([...verbs].sort(), ['get', 'list', 'patch', 'watch']);
  assert.ok(find('ValidatingAdmissionPolicy', 'groundwire-agent'));
});

test('kubernetes.yaml: every argument is a setting of its command', () => {
  const commands: readonly (readonly [string, string, readonly PartName[]])[] = [
    ['Deployment', 'groundwire-control', control.parts],
    ['DaemonSet', 'groundwire-agent', agent.parts],
  ];
  for (const [kind, name, parts] of commands) {
    const args = find(kind, name).spec?.template?.spec.containers[0].args ?? [];
    const said = args.slice(1).map((arg) => arg.replace('$(NODE_NAME)', 'n1').replace('$(NODE_ADDRESS)', '10.0.0.1'));
    const loaded = loadConfig(parts, said, new Map());
    assert.ok('config' in loaded, JSON.stringify(loaded));
  }
});

test('crds.yaml: it has each kind of Istio that the control plane follows', () => {
  const followed = WATCHED_RESOURCES.filter(({ path }) => path.includes('.istio.io/')).map(({ path }) =>
    groupResource(path),
  );
  const defined = read('crds.yaml').map(({ spec }) => `${spec?.group}/${spec?.names?.plural}`);
  assert.deepEqual(defined.sort(), followed.sort());
});
