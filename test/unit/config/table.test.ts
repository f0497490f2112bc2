// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '#src/config/load.ts';
import { describeConfig, renderConfigDocs } from '#src/config/render.ts';
import { variableOf } from '#src/config/setting.ts';
import { PART_NAMES, settingsOf } from '#src/config/table.ts';
import { MESH_LIMITS } from '#src/engine/layout.gen.ts';

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

test('table: each live connection has room in the kernel for the approval of its delivery', () => {
  const parse = (text: string) => loadConfig(['engine'], ['--connections-max', text], new Map());
  assert.ok('config' in parse(String(MESH_LIMITS.approvalsMax)));
  const beyond = parse(String(MESH_LIMITS.approvalsMax + 1));
  assert.ok(!('config' in beyond));
  assert.match(beyond[0]?.reason ?? '', /"131073" is out of range \(16 to 131072\)/);
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
  assert.equal(describeConfig(loaded.config)['api-listen'], '127.0.0.1:15000');
});

test('describeConfig: values as they would be given', () => {
  const given = [
    ['control', '[fd00::1]:15012'],
    ['pod-cidr', '10.244.1.0/24,fd00::/64'],
    ['tunnel-idle', '90s'],
    ['verdict-timeout', '1500ms'],
    ['drain-deadline', '0s'],
    ['stream-window', '96Ki'],
    ['tunnel-window', '16Mi'],
    ['keep-pods', 'true'],
  ] as const;
  const flags = given.map(([flag, text]) => `--${flag}=${text}`);
  const loaded = loadConfig(
    ['upstream', 'engine', 'pods', 'exit', 'common'],
    [...flags, '--token-file', '/t'],
    new Map(),
  );
  assert.ok('config' in loaded, JSON.stringify(loaded));
  const shown = describeConfig(loaded.config);
  for (const [flag, text] of given) assert.equal(shown[flag], flag === 'drain-deadline' ? '0ms' : text);
  for (const text of Object.values(shown)) assert.match(text, /^[^{}]+$/);
  assert.ok(!('resolvers' in shown) && !('help' in shown), 'what is not set, or always the same, is noise');
});

test('table: what is shown of a default is read as the same value', () => {
  for (const { flag, type, default: text } of all) {
    if (text === undefined) continue;
    const parsed = type.parse([text]);
    assert.ok('value' in parsed);
    assert.deepEqual(type.parse([type.format(parsed.value)]), parsed, flag);
  }
});
