// SPDX-License-Identifier: Apache-2.0
import type { EngineEvent } from '../model/messages.gen.ts';
import type { Unsubscribe } from './port.ts';

export type EventListener = (events: readonly EngineEvent[], dropped: number) => void;

/** Who listens to an engine; each gets every batch, in the order in which they came. */
export class EventListeners {
  readonly #listeners = new Set<EventListener>();

  add(listener: EventListener): Unsubscribe {
    // A wrapper of its own, so that a function given twice is called twice and each ends by its own handle.
    const entry: EventListener = (events, dropped) => listener(events, dropped);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  deliver(events: readonly EngineEvent[], dropped: number): void {
    if (events.length === 0 && dropped === 0) return;
    for (const listener of this.#listeners) listener(events, dropped);
  }
}

/** A question of an engine that closes: nobody could answer it. */
export function isQuestion(event: EngineEvent): boolean {
  return event.kind === 'OutboundQuestion' || event.kind === 'InboundQuestion' || event.kind === 'DnsQuery';
}
