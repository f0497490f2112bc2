// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CertificateAuthority } from '#src/identity/certificate-authority.ts';
import { CertificateManager } from '#src/identity/certificate-manager.ts';
import * as x509 from '#src/identity/x509.ts';
import { formatSpiffeId, type SpiffeId } from '#src/model/identity.ts';
import { ManualClock } from '../../helpers/manual-clock.ts';
import { recordingLog, temporaryFolder, until } from '../discovery/loopback.ts';

const HOUR_MS = 3_600_000;

function identity(serviceAccount: string): SpiffeId {
  return { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount };
}

/** Of the certificate of the first identity; `undefined` while there is none. */
function serialOf(manager: CertificateManager): string | undefined {
  return manager.status()[0]?.certChain[0]?.serialNumber;
}

async function openManager(t: TestContext) {
  const clock = new ManualClock();
  const authority = await CertificateAuthority.open({
    stateDir: temporaryFolder(t),
    trustDomain: 'cluster.local',
    clock,
  });
  const events: string[] = [];
  const control = { down: false, running: 0, peak: 0, gate: Promise.resolve() };
  const manager = new CertificateManager({
    sign: async (id, csrPem) => {
      control.running += 1;
      control.peak = Math.max(control.peak, control.running);
      await control.gate;
      control.running -= 1;
      if (control.down) throw new Error('UNAVAILABLE: nobody there');
      return authority.signWorkload(new x509.Pkcs10CertificateRequest(csrPem).publicKey, id, HOUR_MS);
    },
    sink: {
      set: ({ identity: id }) => events.push(`set ${id.serviceAccount}`),
      remove: (id) => events.push(`remove ${id.serviceAccount}`),
      expired: (id) => events.push(`expired ${id.serviceAccount}`),
    },
    clock,
    log: recordingLog().log,
    lifetimeSeconds: 3600,
    random: () => 0.5,
  });
  t.after(() => manager.close());
  return { clock, events, control, manager };
}

test('certificate manager: one certificate an identity, forgotten with its last pod', async (t) => {
  const { clock, events, manager } = await openManager(t);
  manager.require(identity('web'), 'pod-1');
  manager.require(identity('web'), 'pod-2');
  assert.equal(manager.status()[0]?.state, 'Initializing');
  await until('signed', () => events.length > 0);
  manager.release(identity('web'), 'pod-1');
  assert.ok(serialOf(manager));
  manager.release(identity('web'), 'pod-2');
  assert.deepEqual(events, ['set web', 'remove web']);
  assert.equal(serialOf(manager), undefined);
  assert.equal(clock.timers, 0);
});

test('certificate manager: shows certificates and never a key', async (t) => {
  const { manager } = await openManager(t);
  manager.require(identity('web'), 'pod-1');
  await until('signed', () => serialOf(manager) !== undefined);
  const [status] = manager.status();
  assert.equal(status?.identity, formatSpiffeId(identity('web')));
  assert.equal(status?.state, 'Available');
  assert.match(Buffer.from(status?.certChain[0]?.pem ?? '', 'base64').toString(), /^-----BEGIN CERTIFICATE-----/);
  assert.equal(status?.rootCerts.length, 1);
  assert.doesNotMatch(JSON.stringify(status), /PRIVATE|UFJJVkFURS/);
});

test('certificate manager: renews at half of what is left', async (t) => {
  const { clock, events, manager } = await openManager(t);
  manager.require(identity('web'), 'pod-1');
  await until('signed', () => events.length === 1);
  const first = serialOf(manager);
  clock.advance(HOUR_MS / 2 - 5_000);
  assert.equal(clock.timers, 1);
  clock.advance(10_000);
  await until('renewed', () => events.length === 2);
  assert.notEqual(serialOf(manager), first);
});

test('certificate manager: a valid certificate survives failed renewals, and ends only when it expires', async (t) => {
  const { clock, events, control, manager } = await openManager(t);
  manager.require(identity('web'), 'pod-1');
  await until('signed', () => events.length === 1);
  control.down = true;
  clock.advance(HOUR_MS / 2 + 1_000);
  await until('the first failure', () => manager.counters.failed === 1);
  const [status] = manager.status();
  assert.deepEqual([status?.state, status?.error], ['Available', 'UNAVAILABLE: nobody there']);
  clock.advance(HOUR_MS);
  assert.ok(events.includes('expired web'));
  assert.equal(serialOf(manager), undefined);
  assert.match(manager.status()[0]?.error ?? '', /expired before it could be renewed: UNAVAILABLE/);
  control.down = false;
  await until('healed', () => {
    clock.advance(200_000);
    return serialOf(manager) !== undefined;
  });
  assert.equal(events.at(-1), 'set web');
});

test('certificate manager: says when pods want certificates and none is there', async (t) => {
  const { clock, events, control, manager } = await openManager(t);
  assert.equal(manager.hasNone(), false, 'nobody wants one');
  control.down = true;
  manager.require(identity('web'), 'pod-1');
  assert.equal(manager.hasNone(), true);
  await until('refused', () => manager.status()[0]?.state === 'Unavailable');
  assert.equal(manager.hasNone(), true);
  control.down = false;
  manager.require(identity('db'), 'pod-2');
  await until('signed', () => events.includes('set db'));
  assert.equal(manager.hasNone(), false, 'some work');
  manager.release(identity('db'), 'pod-2');
  assert.equal(manager.hasNone(), true);
  clock.advance(HOUR_MS);
  await until('signed, too', () => events.includes('set web'));
  assert.equal(manager.hasNone(), false);
});

test('certificate manager: asks again after a first failure, later each time', async (t) => {
  const { clock, control, manager } = await openManager(t);
  control.down = true;
  manager.require(identity('web'), 'pod-1');
  for (const [failures, delayMs] of [
    [1, 500],
    [2, 1_000],
    [3, 2_000],
  ] as const) {
    await until(`failure ${failures}`, () => manager.counters.failed === failures);
    assert.equal(manager.status()[0]?.state, 'Unavailable');
    clock.advance(delayMs - 1);
    assert.equal(control.running, 0);
    clock.advance(1);
  }
});

test('certificate manager: asks for at most eight at once', async (t) => {
  const { events, control, manager } = await openManager(t);
  const { promise, resolve } = Promise.withResolvers<void>();
  control.gate = promise;
  for (let i = 0; i < 20; i += 1) manager.require(identity(`sa-${i}`), `pod-${i}`);
  await until('eight', () => control.running === 8);
  resolve();
  await until('all', () => events.length === 20);
  assert.equal(control.peak, 8);
});
