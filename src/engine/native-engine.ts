// SPDX-License-Identifier: Apache-2.0

import type { Answer, Command, EngineEvent, EngineOptions } from '../model/messages.gen.ts';
import { type Addon, type EngineHandle, loadAddon } from './addon.ts';
import { EventListeners, isQuestion } from './event-listeners.ts';
import { closedError, KernelError } from './kernel-error.ts';
import {
  decodeEvents,
  decodeSnapshot,
  encodeAnswers,
  encodeCommands,
  encodeEngineOptions,
  SnapshotPartBit,
} from './messages.gen.ts';
import { PendingBatches } from './pending-batches.ts';
import type { EnginePort, EngineSnapshot, SnapshotPart, Unsubscribe } from './port.ts';

/**
 * The engine of native/, loaded from the compiled addon.
 *
 * Life: an open engine keeps the process running, as a listening server does, until `close`. The end of a Worker or of
 * the process closes it too. Events come in turns of the event loop of their own, never from inside a call, so whoever
 * listens in the turn of `open` misses none.
 */
export class NativeEngine implements EnginePort {
  readonly #addon: Addon;
  readonly #batches = new PendingBatches();
  readonly #listeners = new EventListeners();
  /** null once closed: nothing reaches the addon with a handle that has ended. */
  #handle: EngineHandle | null;

  /** Throws `KernelError` ERR_ENGINE_NOT_BUILT, ERR_ENGINE_OPEN, or ERR_ENGINE_MESSAGE for options that are none. */
  static open(options: EngineOptions): NativeEngine {
    const addon = loadAddon();
    return new NativeEngine(addon, addon.open(encodeEngineOptions(options), KernelError));
  }

  private constructor(addon: Addon, handle: EngineHandle) {
    this.#addon = addon;
    this.#handle = handle;
    addon.subscribe(handle, (packed, dropped) => this.#deliver(decodeEvents(packed), dropped));
  }

  async apply(commands: readonly Command[]): Promise<void> {
    const handle = this.#openHandle('apply');
    const bytes = encodeCommands(commands);
    await this.#batches.add((batch) => this.#addon.apply(handle, batch, bytes));
  }

  answer(answers: readonly Answer[]): void {
    this.#addon.answer(this.#openHandle('answer'), encodeAnswers(answers));
  }

  onEvents(listener: (events: readonly EngineEvent[], dropped: number) => void): Unsubscribe {
    this.#openHandle('onEvents');
    return this.#listeners.add(listener);
  }

  readSnapshot(parts: readonly SnapshotPart[]): EngineSnapshot {
    const mask = parts.reduce((bits, part) => bits | SnapshotPartBit[part], 0);
    return decodeSnapshot(this.#addon.readSnapshot(this.#openHandle('readSnapshot'), mask));
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    this.#addon.close(handle);
    this.#batches.rejectAll(closedError('apply'));
  }

  #openHandle(op: string): EngineHandle {
    if (this.#handle === null) throw closedError(op);
    return this.#handle;
  }

  #deliver(events: readonly EngineEvent[], dropped: number): void {
    for (const event of events) if (event.kind === 'BatchDone') this.#batches.settle(event);
    const closed = this.#handle === null;
    const rest = events.filter((event) => event.kind !== 'BatchDone' && !(closed && isQuestion(event)));
    this.#listeners.deliver(rest, dropped);
  }
}
