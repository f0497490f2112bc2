// SPDX-License-Identifier: Apache-2.0
//
// What every EnginePort promises. One suite, run over the fake and, as root, over the addon.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, EngineEvent, EnginePort } from '#src/engine/index.ts';

const BATCHES_WAITING_MAX = 1024;

const peers = (label: number): Command => ({ kind: 'SetPeers', peers: [{ address: '10.203.0.1', label }] });
const unknownPod: Command = { kind: 'ReleasePod', pod: 77, drainDeadlineMs: 1 };
const podZero: Command = {
  kind: 'CapturePod',
  pod: 0,
  uid: 'shop/web',
  netnsPath: '/proc/self/ns/net',
  addresses: [],
  identity: 'spiffe://cluster.local/ns/shop/sa/web',
  existing: 'keep',
  dns: false,
};
const badPod = { kind: 'ReleasePod', pod: 2 ** 32, drainDeadlineMs: 1 } as const;

/** Every call but `close`, as it is made while the engine is open. */
const CALLS: Readonly<Record<string, (engine: EnginePort) => unknown>> = {
  apply: (engine) => engine.apply([peers(1)]),
  answer: (engine) => engine.answer([{ kind: 'DnsAnswer', query: 1n, outcome: { kind: 'DnsForward', label: 0 } }]),
  onEvents: (engine) => engine.onEvents(() => {}),
  readSnapshot: (engine) => engine.readSnapshot(['connections', 'tunnels', 'flows', 'dnsUpstreams', 'counters']),
};

/** Declares the suite; `open` makes an engine that nothing else uses. */
export function testEnginePort(name: string, open: () => EnginePort): void {
  const check = (claim: string, body: (engine: EnginePort) => Promise<void>): void => {
    test(`${name}: ${claim}`, async () => {
      const engine = open();
      try {
        await body(engine);
      } finally {
        await engine.close();
      }
    });
  };

  check('a batch resolves once all of its commands were executed', async (engine) => {
    await engine.apply([peers(1), peers(2), { kind: 'InvalidateVerdicts', verdicts: [1n, 2n] }]);
    await engine.apply([]);
  });

  check('a batch stops at the first command that fails and names it', async (engine) => {
    await assert.rejects(engine.apply([peers(1), unknownPod, peers(2)]), (error: unknown) => {
      assert.ok(error instanceof Error && error.name === 'KernelError');
      assert.equal('code' in error && error.code, 'ERR_ENGINE_COMMAND');
      assert.equal('index' in error && error.index, 1);
      return true;
    });
    await engine.apply([peers(3)]);
  });

  const refusedCommands: readonly (readonly [string, Command])[] = [
    ['release pod', unknownPod],
    ['capture pod', podZero],
  ];
  for (const [op, command] of refusedCommands) {
    check(`a command that makes no sense fails with the words of the engine: ${op}`, async (engine) => {
      await assert.rejects(engine.apply([command]), { code: 'ERR_ENGINE_COMMAND', op, errno: 0 });
    });
  }

  check('batches are acknowledged in the order in which they were applied', async (engine) => {
    const order: number[] = [];
    const batches = [0, 1, 2, 3].map((index) => engine.apply([peers(index)]).then(() => order.push(index)));
    await Promise.all(batches);
    assert.deepEqual(order, [0, 1, 2, 3]);
  });

  check('a value that does not fit its field is refused and nothing of its batch is executed', async (engine) => {
    await assert.rejects(engine.apply([badPod]), { code: 'ERR_ENGINE_MESSAGE' });
    await engine.apply([peers(1)]);
  });

  check('more batches than the bound are refused, and those before them still end', async (engine) => {
    const waiting = Array.from({ length: BATCHES_WAITING_MAX }, () => engine.apply([peers(1)]));
    await assert.rejects(engine.apply([peers(1)]), { code: 'ERR_ENGINE_BUSY' });
    await Promise.all(waiting);
    await engine.apply([peers(1)]);
  });

  check('an answer to a question that nobody asked is ignored', async (engine) => {
    engine.answer([
      { kind: 'DnsAnswer', query: 12345n, outcome: { kind: 'DnsReply', message: Uint8Array.of(1, 2, 3) } },
    ]);
    await engine.apply([peers(1)]);
  });

  check('a snapshot holds only the parts that were asked for', async (engine) => {
    assert.deepEqual(engine.readSnapshot([]), {
      connections: [],
      tunnels: [],
      flows: [],
      dnsUpstreams: [],
      counters: [],
    });
    assert.deepEqual(engine.readSnapshot(['connections', 'tunnels']).counters, []);
  });

  check('acknowledgements are not events', async (engine) => {
    const events: EngineEvent[] = [];
    const unsubscribe = engine.onEvents((batch) => events.push(...batch));
    await engine.apply([peers(1)]);
    unsubscribe();
    assert.deepEqual(events, []);
  });

  for (const [call, use] of Object.entries(CALLS)) {
    check(`${call} works while open and throws ERR_ENGINE_CLOSED afterwards`, async (engine) => {
      await use(engine);
      await engine.close();
      await assert.rejects(async () => use(engine), { name: 'KernelError', code: 'ERR_ENGINE_CLOSED' });
    });
  }

  check('close ends what still waits, and closing again is nothing', async (engine) => {
    const settled = Promise.allSettled([engine.apply([peers(1)]), engine.apply([peers(2)])]);
    await engine.close();
    await engine.close();
    for (const outcome of await settled) {
      // The control thread may have been quicker than close.
      if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'ERR_ENGINE_CLOSED');
    }
  });
}
