// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { EngineIdentities } from '#src/dialogue/engine-identities.ts';
import { FakeEngine } from '#src/engine/fake-engine.ts';
import type { IdentityCertificate } from '#src/identity/identity-certificate.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog } from '../discovery/loopback.ts';

const IDENTITY = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };
const CERTIFICATE: IdentityCertificate = {
  identity: IDENTITY,
  chain: ['leaf'],
  rootsPem: 'root',
  privateKeyPem: 'key',
  notBeforeMs: 0,
  notAfterMs: 1e15,
};
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn();
}

test('an identity removed while its certificate is on its way is not taken for loaded', async () => {
  const identities = new EngineIdentities(new FakeEngine(), new ManualClock(), SILENT);
  identities.set(CERTIFICATE);
  identities.remove(IDENTITY);
  await settle();
  let loaded = false;
  const abort = new AbortController();
  const waiting = identities.loaded(IDENTITY, abort.signal).then(() => {
    loaded = true;
  });
  await settle();
  assert.equal(loaded, false);
  identities.set(CERTIFICATE);
  await waiting;
  assert.equal(identities.awaited, 0);
});

test('a wait that is given up leaves nothing behind', async () => {
  const identities = new EngineIdentities(new FakeEngine(), new ManualClock(), SILENT);
  const abort = new AbortController();
  const waiting = assert.rejects(identities.loaded(IDENTITY, abort.signal), /no more/);
  assert.equal(identities.awaited, 1);
  abort.abort(new Error('no more'));
  await waiting;
  assert.equal(identities.awaited, 0);
});

test('a certificate that the engine does not take is given again, until it does or another takes its place', async () => {
  const clock = new ManualClock();
  const { log, lines } = recordingLog();
  let refuses = 2;
  const given: string[] = [];
  const engine = {
    apply: async (commands: readonly { readonly kind: string; readonly certificateChainPem?: Uint8Array }[]) => {
      given.push(
        ...commands.map(
          ({ kind, certificateChainPem }) => `${kind} ${Buffer.from(certificateChainPem ?? []).toString()}`,
        ),
      );
      if (refuses-- > 0) throw new Error('out of memory');
    },
  };
  const identities = new EngineIdentities(engine, clock, log);
  identities.set(CERTIFICATE);
  await settle();
  clock.advance(700);
  await settle();
  assert.equal(given.length, 2);
  clock.advance(1300);
  await settle();
  await identities.loaded(IDENTITY, new AbortController().signal);
  assert.deepEqual(given, ['SetIdentity leaf', 'SetIdentity leaf', 'SetIdentity leaf']);
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields['failures']]),
    [
      ['error', 'certificate not taken by the engine', 1],
      ['error', 'certificate not taken by the engine', 2],
      ['info', 'certificate taken by the engine after all', undefined],
    ],
  );
  assert.deepEqual([identities.counters, clock.timers], [{ taken: 1, refused: 2 }, 0]);

  // A newer one, a removal and the end take the place of what waits to be given again.
  for (const end of [
    () => identities.set({ ...CERTIFICATE, chain: ['newer'] }),
    () => identities.remove(IDENTITY),
    () => identities.expired(IDENTITY),
    () => identities.close(),
  ]) {
    refuses = 1;
    identities.set(CERTIFICATE);
    await settle();
    assert.equal(clock.timers, 1);
    end();
    await settle();
    assert.equal(clock.timers, 0);
    const count: number = given.length;
    clock.advance(60_000);
    assert.equal(given.length, count);
  }
});
