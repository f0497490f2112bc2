// SPDX-License-Identifier: Apache-2.0
import { setImmediate } from 'node:timers/promises';
import type {
  Answer,
  BatchFailed,
  BatchOutcome,
  CapturePod,
  Command,
  EngineEvent,
  SetIdentity,
} from '../model/messages.gen.ts';
import { EventListeners, isQuestion } from './event-listeners.ts';
import { closedError } from './kernel-error.ts';
import { encodeAnswers, encodeCommands } from './messages.gen.ts';
import { PendingBatches } from './pending-batches.ts';
import type { EnginePort, EngineSnapshot, SnapshotPart, Unsubscribe } from './port.ts';

type Failure = Omit<BatchFailed, 'kind' | 'index'>;

/** What a command does to the state of the fake, or why it fails. */
type Outcome = Failure | undefined;

/** A refusal of the engine's own, without a reason of the kernel. */
function refusal(op: string, detail: string): Failure {
  return { op, errno: 0, detail };
}

/**
 * The engine in memory, for tests of everything above the boundary: the same checks, order and limits as `NativeEngine`,
 * no kernel and no bytes carried. A test pushes events and looks at commands, answers and state.
 */
export class FakeEngine implements EnginePort {
  /** Every command that was executed, in order. */
  readonly commands: Command[] = [];
  /** Every answer that was given, in order. */
  readonly answers: Answer[] = [];
  readonly identities = new Map<string, SetIdentity>();
  readonly pods = new Map<number, CapturePod>();
  /** Label by source address, as SetPeers left it. */
  readonly peers = new Map<string, number>();
  /** What `readSnapshot` answers; a test replaces it. */
  snapshot: EngineSnapshot = { connections: [], tunnels: [], flows: [], dnsUpstreams: [], counters: [] };
  drained = false;

  readonly #batches = new PendingBatches();
  readonly #listeners = new EventListeners();
  readonly #failures = new Map<Command['kind'], Failure[]>();
  #events: EngineEvent[] = [];
  #dropped = 0;
  #turn: Promise<void> | undefined;
  #closed = false;

  async apply(commands: readonly Command[]): Promise<void> {
    this.#checkOpen('apply');
    // Encoded as for the addon, so that a value that the wire refuses is refused here too.
    encodeCommands(commands);
    const batch = [...commands];
    await this.#batches.add((number) => {
      void this.#turnOfEvents().then(() => this.#execute(number, batch));
    });
  }

  answer(answers: readonly Answer[]): void {
    this.#checkOpen('answer');
    encodeAnswers(answers);
    this.answers.push(...answers);
  }

  onEvents(listener: (events: readonly EngineEvent[], dropped: number) => void): Unsubscribe {
    this.#checkOpen('onEvents');
    return this.#listeners.add(listener);
  }

  readSnapshot(parts: readonly SnapshotPart[]): EngineSnapshot {
    this.#checkOpen('readSnapshot');
    const empty: EngineSnapshot = { connections: [], tunnels: [], flows: [], dnsUpstreams: [], counters: [] };
    return parts.reduce((rows, part) => ({ ...rows, [part]: this.snapshot[part] }), empty);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#deliver();
    this.#batches.rejectAll(closedError('apply'));
  }

  /** Emits events, `dropped` of which found no room before them. Resolves when every listener has had them. */
  async push(events: readonly EngineEvent[], dropped = 0): Promise<void> {
    this.#checkOpen('push');
    this.#events.push(...events);
    this.#dropped += dropped;
    await this.#turnOfEvents();
  }

  /** Makes the next command of that kind fail as the kernel would make it. */
  failNext(kind: Command['kind'], op: string, errno: number, detail = ''): void {
    const waiting = this.#failures.get(kind) ?? [];
    this.#failures.set(kind, [...waiting, { op, errno, detail }]);
  }

  // Events never come from inside a call: as with the addon, they have a turn of the event loop of their own.
  #turnOfEvents(): Promise<void> {
    this.#turn ??= setImmediate().then(() => {
      this.#turn = undefined;
      if (!this.#closed) this.#deliver();
    });
    return this.#turn;
  }

  #deliver(): void {
    const events = this.#events.filter((event) => !(this.#closed && isQuestion(event)));
    const dropped = this.#dropped;
    this.#events = [];
    this.#dropped = 0;
    this.#listeners.deliver(events, dropped);
  }

  #execute(batch: bigint, commands: readonly Command[]): void {
    if (this.#closed) return;
    let outcome: BatchOutcome = { kind: 'BatchApplied' };
    for (const [index, command] of commands.entries()) {
      const failed = this.#failures.get(command.kind)?.shift() ?? this.#run(command);
      if (failed !== undefined) {
        outcome = { kind: 'BatchFailed', index, ...failed };
        break;
      }
      this.commands.push(command);
    }
    this.#batches.settle({ kind: 'BatchDone', batch, outcome });
    this.#deliver();
  }

  #run(command: Command): Outcome {
    switch (command.kind) {
      case 'SetIdentity':
        this.identities.set(command.identity, command);
        return undefined;
      case 'RemoveIdentity':
        this.identities.delete(command.identity);
        return undefined;
      case 'CapturePod':
        return this.#capture(command);
      case 'ReleasePod':
        return this.#release(command.pod);
      case 'SetPeers':
        for (const { address, label } of command.peers) {
          if (label === 0) this.peers.delete(address);
          else this.peers.set(address, label);
        }
        return undefined;
      case 'Drain':
        this.drained = true;
        return undefined;
      case 'InvalidateVerdicts':
        return undefined;
    }
  }

  #capture(command: CapturePod): Outcome {
    if (command.pod === 0) return refusal('capture pod', 'pod 0');
    if (this.pods.has(command.pod)) return refusal('capture pod', `pod ${command.pod} is captured already`);
    this.pods.set(command.pod, command);
    return undefined;
  }

  #release(pod: number): Outcome {
    if (!this.pods.delete(pod)) return refusal('release pod', `pod ${pod} is not captured`);
    this.#events.push({ kind: 'PodReleased', pod });
    return undefined;
  }

  #checkOpen(op: string): void {
    if (this.#closed) throw closedError(op);
  }
}
