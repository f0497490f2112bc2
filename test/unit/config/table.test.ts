// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
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
