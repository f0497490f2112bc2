// SPDX-License-Identifier: Apache-2.0
//
// The generated code against a slow reader and writer that interpret the schema field by field.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KernelError } from '#src/engine/kernel-error.ts';
import {
  decodeEvents,
  decodeProbeReport,
  decodeSnapshot,
  encodeAnswers,
  encodeCommands,
  encodeEngineOptions,
} from '#src/engine/messages.gen.ts';
import { ANSWERS, ARGUMENTS, COMMANDS, EVENTS, RESULTS, SNAPSHOTS } from '#src/engine/port.schema.ts';
import type { Answer, Command, EngineOptions } from '#src/model/messages.gen.ts';
import { type Message, messageOf, packBatch, packFields } from './schema-reference.ts';

function decodes(kind: string, message: Message): unknown {
  return kind in EVENTS
    ? decodeEvents(packBatch(EVENTS, [{ kind, ...message }]))[0]
    : decodeSnapshot(packBatch(SNAPSHOTS, [{ kind, ...message }]));
}

for (const [kind, fields] of Object.entries(EVENTS)) {
  test(`messages: ${kind} is decoded as the schema says`, () => {
    fc.assert(
      fc.property(messageOf(fields), (message) => assert.deepEqual(decodes(kind, message), { kind, ...message })),
    );
  });
}

test('messages: rows of a snapshot come back in their parts', () => {
  const rows = fc.record({
    connections: fc.array(messageOf(SNAPSHOTS.Connection), { maxLength: 3 }),
    tunnels: fc.array(messageOf(SNAPSHOTS.Tunnel), { maxLength: 3 }),
    flows: fc.array(messageOf(SNAPSHOTS.Flow), { maxLength: 3 }),
    dnsUpstreams: fc.array(messageOf(SNAPSHOTS.DnsUpstream), { maxLength: 3 }),
    counters: fc.array(messageOf(SNAPSHOTS.Counter), { maxLength: 3 }),
  });
  const packed = (kind: string, messages: readonly Message[]): Message[] => messages.map((row) => ({ kind, ...row }));
  fc.assert(
    fc.property(rows, ({ connections, tunnels, flows, dnsUpstreams, counters }) => {
      const batch = [
        ...packed('Flow', flows),
        ...packed('Connection', connections),
        ...packed('Counter', counters),
        ...packed('DnsUpstream', dnsUpstreams),
        ...packed('Tunnel', tunnels),
      ];
      assert.deepEqual(decodeSnapshot(packBatch(SNAPSHOTS, batch)), {
        connections,
        tunnels,
        flows,
        dnsUpstreams,
        counters,
      });
    }),
  );
});

for (const [kind, fields] of Object.entries(COMMANDS)) {
  test(`messages: command ${kind} is encoded as the schema says`, () => {
    fc.assert(
      fc.property(messageOf(fields), (message) => {
        const command = { kind, ...message } as unknown as Command;
        assert.deepEqual(Buffer.from(encodeCommands([command])), packBatch(COMMANDS, [{ kind, ...message }]));
      }),
    );
  });
}

for (const [kind, fields] of Object.entries(ANSWERS)) {
  test(`messages: answer ${kind} is encoded as the schema says`, () => {
    fc.assert(
      fc.property(messageOf(fields), (message) => {
        const answer = { kind, ...message } as unknown as Answer;
        assert.deepEqual(Buffer.from(encodeAnswers([answer])), packBatch(ANSWERS, [{ kind, ...message }]));
      }),
    );
  });
}

test('messages: the options of the engine are encoded as the schema says', () => {
  fc.assert(
    fc.property(messageOf(ARGUMENTS.EngineOptions), (options) => {
      const packed = Buffer.from(packFields(ARGUMENTS.EngineOptions, options));
      assert.deepEqual(Buffer.from(encodeEngineOptions(options as unknown as EngineOptions)), packed);
    }),
  );
});

test('messages: an option of another type is named', () => {
  const options = { pinDirectory: '/sys/fs/bpf', podsCgroup: 5 } as unknown as EngineOptions;
  assert.throws(() => encodeEngineOptions(options), { message: /EngineOptions\.podsCgroup: 5 is not a text/ });
});

test('messages: what the probe found is decoded as the schema says', () => {
  fc.assert(
    fc.property(messageOf(RESULTS.ProbeReport), (report) => {
      assert.deepEqual(decodeProbeReport(Buffer.from(packFields(RESULTS.ProbeReport, report))), report);
    }),
  );
});

const isMessageError = (error: unknown): boolean => error instanceof KernelError && error.code === 'ERR_ENGINE_MESSAGE';

test('messages: any bytes decode or throw the one message error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of [decodeEvents, decodeSnapshot]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(isMessageError(error), String(error));
        }
      }
    }),
  );
});

test('messages: a batch cut anywhere, or with a byte too many, is refused', () => {
  const batch = packBatch(EVENTS, [
    { kind: 'OutboundQuestion', question: 7n, pod: 3, originalDst: { address: '10.0.0.1', port: 80 } },
  ]);
  for (let length = 0; length < batch.length; length += 1) {
    assert.throws(() => decodeEvents(batch.subarray(0, length)), isMessageError, `length ${length}`);
  }
  assert.throws(() => decodeEvents(Buffer.concat([batch, Buffer.of(0)])), isMessageError);
});

test('messages: a count that the bytes cannot hold is refused before anything is made for it', () => {
  assert.throws(() => decodeEvents(Buffer.from([0xff, 0xff, 0xff, 0xff, 0])), /do not fit in 1 bytes/);
});

test('messages: an error names the field and the offset', () => {
  const batch = packBatch(EVENTS, [{ kind: 'PodReleased', pod: 1 }]);
  assert.throws(() => decodeEvents(batch.subarray(0, 6)), /PodReleased\.pod at byte 5: 4 bytes wanted, 1 left/);
});

const refused: readonly (readonly [string, Command, RegExp])[] = [
  ['a pod beyond 32 bits', { kind: 'ReleasePod', pod: 2 ** 32, drainDeadlineMs: 1 }, /ReleasePod\.pod: 4294967296/],
  ['a fraction', { kind: 'Drain', deadlineMs: 1.5 }, /Drain\.deadlineMs: 1\.5/],
  ['a negative id', { kind: 'InvalidateVerdicts', verdicts: [-1n] }, /InvalidateVerdicts\.verdicts: -1/],
  [
    'text that is no address',
    { kind: 'SetPeers', peers: [{ address: 'pod-1', label: 1 }] },
    /PeerLabel\.address: "pod-1"/,
  ],
];
for (const [what, command, pattern] of refused) {
  test(`messages: ${what} is refused before it crosses`, () => {
    assert.throws(() => encodeCommands([command]), { code: 'ERR_ENGINE_MESSAGE', message: pattern });
  });
}
