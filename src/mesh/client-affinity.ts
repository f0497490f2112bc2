// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';
import type { RouteChoice } from '../model/route.ts';
import { type DependencyKey, dependency } from './view.ts';

/** Beyond it the oldest client may be given another endpoint: a few hundred bytes each. */
const AFFINITIES_MAX = 65_536;

interface Affinity {
  /** Address and workload of the endpoint. */
  readonly endpoint: string;
  /** The client has not asked for one timeout; after another one it is let go. */
  doubtful: boolean;
  cancel: Cancel;
}

/**
 * Which endpoint of a Service each client keeps to (`sessionAffinity: ClientIP`).
 *
 * A client is a pod: its address is its own. Connections by a verdict that is kept are not seen here, so after each
 * timeout the verdict is taken back (`onLapse`): a client that is still there asks again, and stays where it was; one that
 * does not ask for another timeout is let go. So a client is kept for at least one timeout after its last connection, and
 * for less than two; and never with an endpoint that the Service does not have any more.
 */
export class ClientAffinity {
  readonly #affinities = new Map<DependencyKey, Affinity>();
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #onLapse: (keys: ReadonlySet<DependencyKey>) => void;
  readonly #max: number;
  #evictedTotal = 0;

  /** `random` in [0, 1). */
  constructor(
    clock: Clock,
    random: () => number,
    onLapse: (keys: ReadonlySet<DependencyKey>) => void,
    max: number = AFFINITIES_MAX,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#onLapse = onLapse;
    this.#max = max;
  }

  get max(): number {
    return this.#max;
  }

  /** Clients that were forgotten for newer ones. */
  get evictedTotal(): number {
    return this.#evictedTotal;
  }

  get size(): number {
    return this.#affinities.size;
  }

  /** The choice that the client keeps to; one of `choices`, of which there is at least one. */
  choose<T extends RouteChoice>(clientUid: string, serviceKey: string, timeoutMs: number, choices: readonly T[]): T {
    const key = dependency.affinity(clientUid, serviceKey);
    const known = this.#affinities.get(key);
    const kept = known && choices.find((choice) => endpointOf(choice) === known.endpoint);
    const chosen = kept ?? this.#pick(choices);
    this.#forget(key);
    const [oldest] = this.#affinities.keys();
    if (this.#affinities.size >= this.#max && oldest !== undefined) {
      this.#forget(oldest);
      this.#evictedTotal += 1;
    }
    const affinity: Affinity = { endpoint: endpointOf(chosen), doubtful: false, cancel: () => {} };
    affinity.cancel = this.#clock.setTimer(timeoutMs, () => this.#lapse(key, affinity, timeoutMs));
    this.#affinities.set(key, affinity);
    return chosen;
  }

  close(): void {
    for (const key of this.#affinities.keys()) this.#forget(key);
  }

  #lapse(key: DependencyKey, affinity: Affinity, timeoutMs: number): void {
    if (affinity.doubtful) return this.#forget(key);
    affinity.doubtful = true;
    affinity.cancel = this.#clock.setTimer(timeoutMs, () => this.#lapse(key, affinity, timeoutMs));
    this.#onLapse(new Set([key]));
  }

  #forget(key: DependencyKey): void {
    this.#affinities.get(key)?.cancel();
    this.#affinities.delete(key);
  }

  #pick<T extends RouteChoice>(choices: readonly T[]): T {
    const total = choices.reduce((sum, { weight }) => sum + weight, 0);
    let left = this.#random() * total;
    const found = choices.find(({ weight }) => (left -= weight) < 0);
    return found ?? (choices[0] as T);
  }
}

function endpointOf({ destinationUid, hboneAuthority }: RouteChoice): string {
  return `${destinationUid} ${hboneAuthority}`;
}
