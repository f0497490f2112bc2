// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { command as agent } from '#src/commands/agent.ts';
import { loadConfig } from '#src/config/load.ts';
import { describeConfig, renderConfigDocs } from '#src/config/render.ts';
import { variableOf } from '#src/config/setting.ts';
import { PART_NAMES, settingsOf } from '#src/config/table.ts';

const all = PART_NAMES.flatMap((part) => [...settingsOf(part).values()]);

test('table: every default is a value that its own setting accepts', () => {
  for (const setting of all) {
    if (setting.default !== undefined) assert.ok('value' in setting.type.parse([setting.default]), setting.flag);
  }
});

test('table: a flag that two parts share means the same kind of value', () => {
  const placeholders = new Map<string, string>();
  for (const { flag, type } of all) {
    assert.equal(placeholders.get(flag) ?? type.placeholder, type.placeholder, flag);
    placeholders.set(flag, type.placeholder);
  }
});

test('table: names are well-formed and explained', () => {
  for (const { flag, help } of all) {
    assert.match(flag, /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
    assert.ok(help.length > 3 && !help.endsWith('.'), flag);
  }
});

test('docs: every setting has its row', () => {
  const docs = renderConfigDocs([]);
  for (const { flag, flagOnly } of all) {
    assert.ok(docs.includes(`\`--${flag}\``), flag);
    if (flagOnly !== true) assert.ok(docs.includes(variableOf(flag)), flag);
  }
});

test('describeConfig: shows what is in effect', () => {
  const loaded = loadConfig(['log', 'api'], ['--log-level', 'debug'], new Map());
  assert.ok('config' in loaded);
  assert.equal(describeConfig(loaded.config)['log-level'], 'debug');
  assert.match(describeConfig(loaded.config)['api-listen'] ?? '', /127\.0\.0\.1/);
});

interface Container {
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe: { readonly httpGet: { readonly port: number } };
}

const DAEMONSET = readFileSync(new URL('../../../daemonset/groundwire.yaml', import.meta.url), 'utf8');

function daemonSetContainer(): Container {
  const objects = parseAllDocuments(DAEMONSET).map(
    (document) => document.toJS() as { kind: string; spec?: { template: { spec: { containers: [Container] } } } },
  );
  const daemonSet = objects.find((object) => object.kind === 'DaemonSet');
  assert.ok(daemonSet?.spec);
  return daemonSet.spec.template.spec.containers[0];
}

test('daemonset: its command line is one that the agent accepts, with nothing missing', () => {
  const [command, ...args] = daemonSetContainer().args;
  assert.equal(command, 'agent');
  // Kubernetes puts values in place of these.
  const filled = args.map((arg) =>
    arg.replaceAll(/\$\(([A-Z_]+)\)/g, (_, name: string) => (name === 'NODE_NAME' ? 'node-1' : '10.0.0.1')),
  );
  const loaded = loadConfig(agent.parts, filled, new Map());
  assert.ok('config' in loaded, JSON.stringify(loaded));
  assert.equal(loaded.config.node.name, 'node-1');
});

test('daemonset: Services leave no variables in its environment', () => {
  assert.match(DAEMONSET, /^ {6}enableServiceLinks: false$/m);
});

test('daemonset: every setting without which an agent cannot run is in the manifest', () => {
  const { args } = daemonSetContainer();
  for (const part of agent.parts) {
    for (const setting of settingsOf(part).values()) {
      if (setting.required)
        assert.ok(
          args.some((arg) => arg.startsWith(`--${setting.flag}=`)),
          setting.flag,
        );
    }
  }
});

test('daemonset: ports and probe are the defaults of the table', () => {
  const { ports, readinessProbe } = daemonSetContainer();
  const settings = settingsOf('api');
  assert.ok(settings.get('ready')?.default?.endsWith(`:${readinessProbe.httpGet.port}`));
  const metrics = ports.find((port) => port.name === 'metrics')?.containerPort;
  assert.ok(settings.get('metrics')?.default?.endsWith(`:${metrics}`));
});
