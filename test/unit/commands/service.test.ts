// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { CommandIo } from '#src/commands/command.ts';
import { command as control } from '#src/commands/control.ts';
import { CliError, EXIT } from '#src/commands/exit-code.ts';
import { explainFailure, openLogger, runService } from '#src/commands/service.ts';
import { dialHost } from '#src/commands/up.ts';
import { loadConfig } from '#src/config/load.ts';
import { LockHeld } from '#src/host/process-lock.ts';
import { CertificateAuthorityError } from '#src/identity/certificate-authority-error.ts';
import { SecretFileError } from '#src/identity/secret-file.ts';
import { Logger } from '#src/telemetry/logger.ts';

const log = openLogger({ level: 'error', format: 'text' });

/** A command's outside whose signals a test sends. */
function makeIo() {
  const listeners = new Map<NodeJS.Signals, (signal: NodeJS.Signals) => void>();
  const abandoned: NodeJS.Signals[] = [];
  const io: CommandIo = {
    print() {},
    printError() {},
    abandon: (signal) => abandoned.push(signal),
    onSignals(signals, listener) {
      for (const signal of signals) listeners.set(signal, listener);
      return () => listeners.clear();
    },
  };
  return { io, abandoned, listeners, send: (signal: NodeJS.Signals) => listeners.get(signal)?.(signal) };
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} during the start ends it, and what had been opened is undone`, async () => {
    const { io, send, listeners } = makeIo();
    const undone: string[] = [];
    const ended = runService(io, log, {}, async (asked) => {
      try {
        await new Promise((_, reject) => asked.addEventListener('abort', () => reject(asked.reason as Error)));
      } catch (error) {
        undone.push('closers ran');
        throw error;
      }
      return { close: async () => {} };
    });
    await turn();
    send(signal);
    assert.equal(await ended, EXIT.ok);
    assert.deepEqual(undone, ['closers ran']);
    assert.equal(listeners.size, 0);
  });
}

test('a service that was opened all the same is closed; a second signal does not wait', async () => {
  const { io, send, abandoned } = makeIo();
  const opened = Promise.withResolvers<void>();
  let closed = 0;
  const ended = runService(io, log, {}, async () => {
    await opened.promise;
    return {
      close: async () => {
        closed += 1;
      },
    };
  });
  await turn();
  send('SIGHUP');
  send('SIGTERM');
  assert.deepEqual(abandoned, ['SIGTERM']);
  opened.resolve();
  assert.equal(await ended, EXIT.ok);
  assert.equal(closed, 1);
});

test('a service that runs has logged its configuration, as it would be given: a control plane, too', async () => {
  const { io, send } = makeIo();
  const lines: string[] = [];
  const stream = { write: (line: string) => lines.push(line) > 0 };
  const recording = Logger.open(stream, { level: 'info', format: 'json', nowMs: () => 0, linesMax: 10 });
  const loaded = loadConfig(control.parts, ['--manifests', '/manifests', '--node-grace', '90s'], new Map());
  assert.ok('config' in loaded);
  const ended = runService(io, recording, loaded.config, async () => ({ close: async () => {} }));
  await turn();
  send('SIGTERM');
  await ended;
  const told = lines.filter((line) => line.includes('configuration in effect'));
  assert.equal(told.length, 1);
  const fields = JSON.parse(told[0] ?? '') as Record<string, unknown>;
  for (const [flag, value] of Object.entries({
    manifests: '/manifests',
    'node-grace': '90s',
    'trust-domain': 'cluster.local',
    'state-dir': '/var/lib/groundwire',
  })) {
    assert.equal(fields[flag], value);
  }
});

const expected: readonly [error: Error, exitCode: number][] = [
  [new LockHeld('served'), EXIT.busy],
  [new SecretFileError('token.key has mode 0644'), EXIT.permission],
  [new CertificateAuthorityError('root.pem expired'), EXIT.config],
  [Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' }), EXIT.busy],
  [Object.assign(new Error('open x: EACCES'), { code: 'EACCES' }), EXIT.permission],
  [Object.assign(new Error('open x: ENOENT'), { code: 'ENOENT' }), EXIT.file],
  [new Error('the token file has no token line'), EXIT.unavailable],
];
for (const [error, exitCode] of expected) {
  test(`${error.name} "${error.message}" ends with ${exitCode} and its own words`, () => {
    assert.throws(
      () => explainFailure(error),
      (thrown) => thrown instanceof CliError && thrown.exitCode === exitCode && thrown.message.includes(error.message),
    );
  });
}

const bugs: readonly Error[] = [
  new TypeError('x is not a function'),
  new RangeError('offset is out of bounds'),
  Object.assign(new Error('bad argument'), { code: 'ERR_INVALID_ARG_VALUE' }),
];
for (const bug of bugs) {
  test(`a bug stays what it is: ${bug.message}`, () => {
    assert.throws(
      () => explainFailure(bug),
      (thrown) => thrown === bug,
    );
  });
}

test('up: its agent dials the address that its control plane listens on', () => {
  assert.equal(dialHost('10.0.0.1'), '10.0.0.1');
  assert.equal(dialHost('fd00::1'), 'fd00::1');
  assert.equal(dialHost('0.0.0.0'), '127.0.0.1');
  assert.equal(dialHost('::'), '::1');
});
