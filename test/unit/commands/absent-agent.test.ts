// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AgentClient } from '#src/commands/agent-client.ts';
import { CliError, EXIT } from '#src/commands/exit-code.ts';
import { findProcess, type ProcessId } from '#src/host/process-id.ts';
import { homeFiles } from '#src/node/home-files.ts';

const SELF = (await findProcess(process.pid)) ?? { pid: 0, startTicks: 0 };

/** A run directory in which an agent of node `a` has been. */
function makeNode(t: TestContext, node = 'a', runDirectory = makeRunDirectory(t)) {
  const files = homeFiles(runDirectory, node);
  mkdirSync(files.pods, { recursive: true });
  return {
    ...files,
    /** Listens, and is killed as it does. */
    kill(): ProcessId {
      const listen = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
      const { pid, signal } = spawnSync(process.execPath, ['-e', listen, files.socket]);
      assert.equal(signal, 'SIGKILL');
      return { pid, startTicks: 1 };
    },
    lockFor: (holder: unknown): void => writeFileSync(files.lock, JSON.stringify(holder)),
    addPod(name: string, captured = true, holder = SELF): void {
      const record = { uid: name, handle: 1, spec: { namespace: 'shop', name }, sandbox: {}, holder, captured };
      writeFileSync(join(files.pods, `${name}.json`), JSON.stringify(record));
    },
    target: (given: { node?: string; socket?: string } = {}) => ({
      node: given.node,
      socket: given.socket,
      runDirectory,
    }),
  };
}

function makeRunDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-absent-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function failureOf(target: Parameters<typeof AgentClient.find>[0]): Promise<string> {
  const error: unknown = await AgentClient.find(target).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CliError, String(error));
  assert.equal(error.exitCode, EXIT.unavailable);
  return error.message;
}

test('an agent that was killed: which pods have no network, that its process is dead, and how it is started again', async (t) => {
  const node = makeNode(t);
  const killed = node.kill();
  node.lockFor(killed);
  node.addPod('web');
  node.addPod('client');
  node.addPod('outside', false);
  node.addPod('ended', true, killed);
  const expected =
    `the agent of node a is gone: its process, ${killed.pid}, has ended, and nobody listens on ${node.socket}; ` +
    '2 pods that it captured have no network until an agent of the node runs again (shop/client, shop/web); ' +
    'start it as before (`groundwire up` or `groundwire agent`, with --node a and its other options)';
  for (const given of [{}, { node: 'a' }, { socket: node.socket }]) {
    assert.equal(await failureOf(node.target(given)), expected);
  }
});

test('an agent that was stopped and has left pods is not there either', async (t) => {
  const node = makeNode(t);
  for (let i = 0; i < 7; i++) node.addPod(`p${i}`);
  assert.match(
    await failureOf(node.target({ node: 'a' })),
    /^the agent of node a was stopped \(\S+\); 7 pods that it captured have no network until .* \(shop\/p0, .*, shop\/p4 and 2 more\); start it as before/,
  );
});

test('an agent whose process lives is not to be started once more', async (t) => {
  const node = makeNode(t);
  node.lockFor(SELF);
  node.addPod('web');
  assert.match(
    await failureOf(node.target({ node: 'a' })),
    new RegExp(
      `^the agent of node a does not listen on ${node.socket}, and its process, ${process.pid}, runs; ` +
        '1 pod that it captured has no network until it listens \\(shop/web\\); it starts, stops or is stuck: look at its log',
    ),
  );
});

test('what an agent has left and cannot be read is no bug, and said to be in the way', async (t) => {
  const node = makeNode(t);
  rmSync(node.pods, { recursive: true });
  writeFileSync(node.pods, 'a file where the directory belongs');
  assert.match(
    await failureOf(node.target({ node: 'a' })),
    /^nobody listens on \S+, and what the agent of node a has left cannot be read: not a directory \(\S+\/pods\); see what/,
  );
});

test('each of several agents that have gone is told, a damaged lock among them, and what is no node is not', async (t) => {
  const a = makeNode(t);
  const b = makeNode(t, 'b', a.target().runDirectory);
  writeFileSync(join(a.target().runDirectory, 'stray'), '');
  a.lockFor(a.kill());
  writeFileSync(b.lock, '{"pid":');
  const lines = (await failureOf(a.target())).split('\n');
  assert.equal(lines.length, 2);
  assert.match(lines[1] ?? '', /^the agent of node b is gone: its process has ended, and nobody listens on/);
  assert.match(await failureOf(makeNode(t).target()), /^no agent runs on this machine/);
});
