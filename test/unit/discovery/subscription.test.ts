// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADDRESS_TYPE, type EncodedResource } from '#src/discovery/resource.ts';
import { ResourceTable } from '#src/discovery/resource-table.ts';
import { Subscription } from '#src/discovery/subscription.ts';

function resource(name: string, version: string, more: Partial<EncodedResource> = {}): EncodedResource {
  return { type: ADDRESS_TYPE, name, version, aliases: [], memberOf: [], bytes: new Uint8Array(1), ...more };
}

function open(
  table: ResourceTable,
  subscribe: string[] = [],
  unsubscribe: string[] = [],
  versions: Record<string, string> = {},
) {
  const subscription = new Subscription(table);
  subscription.open(subscribe, unsubscribe, versions);
  return subscription;
}

function names(subscription: Subscription): { sent: string[]; removed: string[] } | undefined {
  const batch = subscription.take();
  return batch && { sent: batch.resources.map(({ name }) => name).sort(), removed: [...batch.removed].sort() };
}

const service = resource('n/svc', '1', { aliases: ['/10.0.0.9'] });
const workload = resource('uid-1', '1', { aliases: ['/10.0.0.1'], memberOf: ['n/svc'] });
const other = resource('uid-2', '1', { aliases: ['/10.0.0.2'] });

/** Returns the names that are new, gone or of another version. */
function replaceAll(table: ResourceTable, resources: readonly EncodedResource[]): Set<string> {
  const names = new Set(resources.map(({ name }) => name));
  return table.apply(
    resources,
    [...table.names()].filter((name) => !names.has(name)),
  );
}

function filled(): ResourceTable {
  const table = new ResourceTable();
  replaceAll(table, [service, workload, other]);
  return table;
}

test('subscription: naming nothing asks for everything, once', () => {
  const subscription = open(filled());
  assert.deepEqual(names(subscription), { sent: ['n/svc', 'uid-1', 'uid-2'], removed: [] });
  assert.equal(names(subscription), undefined);
});

test('subscription: an empty mesh is answered too, or the client would wait for ever', () => {
  assert.deepEqual(names(open(new ResourceTable())), { sent: [], removed: [] });
});

test('subscription: versions of an earlier stream leave only the differences', () => {
  const subscription = open(filled(), [], [], { 'n/svc': '1', 'uid-1': '0', gone: '1' });
  assert.deepEqual(names(subscription), { sent: ['uid-1', 'uid-2'], removed: ['gone'] });
});

test('subscription: on demand as ztunnel asks: "*" taken and given back, then names, aliases and services', () => {
  const table = filled();
  const subscription = open(table, ['*'], ['*']);
  assert.deepEqual(names(subscription), { sent: [], removed: [] });
  subscription.update(['/10.0.0.2', 'nobody'], []);
  assert.deepEqual(names(subscription), { sent: ['uid-2'], removed: ['nobody'] });
  subscription.update(['/10.0.0.9'], []);
  assert.deepEqual(
    names(subscription),
    { sent: ['n/svc', 'uid-1'], removed: [] },
    'a service comes with its workloads',
  );
  const added = resource('uid-3', '1', { memberOf: ['n/svc'] });
  subscription.touch(replaceAll(table, [service, workload, added]));
  assert.deepEqual(names(subscription), { sent: ['uid-3'], removed: ['uid-2'] });
  subscription.update([], ['/10.0.0.9']);
  subscription.touch(replaceAll(table, [{ ...service, version: '2' }, workload, added]));
  assert.equal(names(subscription), undefined, 'what is no longer asked for is not sent');
});

test('subscription: a resource that changes many times before it is taken is sent as its last version', () => {
  const table = filled();
  const subscription = open(table);
  names(subscription);
  for (const version of ['2', '3', '4'])
    subscription.touch(replaceAll(table, [service, { ...workload, version }, other]));
  const batch = subscription.take();
  assert.deepEqual(
    batch?.resources.map(({ version }) => version),
    ['4'],
  );
});

test('subscription: a large mesh is split, and nothing is lost between the parts', () => {
  const table = new ResourceTable();
  const bytes = new Uint8Array(1024 * 1024);
  replaceAll(
    table,
    Array.from({ length: 10 }, (_, i) => resource(`r${i}`, '1', { bytes })),
  );
  const subscription = open(table);
  const parts: string[][] = [];
  for (let part = names(subscription); part !== undefined; part = names(subscription)) parts.push(part.sent);
  assert.ok(parts.length > 1);
  assert.equal(parts.flat().length, 10);
});
