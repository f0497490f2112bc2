// SPDX-License-Identifier: Apache-2.0

import { NONE, NumberTable } from './number-table.ts';
import type { DependencyKey } from './view.ts';

export interface RecordedVerdict {
  readonly verdict: bigint;
  /** An older verdict that had to make room: the engine must forget it, since nobody watches over it any more. */
  readonly evicted?: bigint;
}

/** Each is some 300 bytes; a node with more live (pod, destination) pairs re-asks for the oldest. */
export const VERDICTS_MAX = 262_144;

/** The verdicts of a pod, the oldest first. */
interface OfPod {
  oldest: number;
  newest: number;
  size: number;
}

/**
 * Which answers of the engine's cache hang on what.
 *
 * `record` gives an answer its id; `invalidate` takes what changed and returns exactly the answers that read it, each
 * once: they are forgotten here and the engine has to forget them too. Bounded; when full, the oldest of a pod that has
 * more than its share makes room, so that one pod's many destinations are forgotten for each other and not for those of all.
 * Limits: record O(dependencies), invalidate O(verdicts concerned x their dependencies).
 *
 * Kept in tables of numbers: an object, set or bigint for each dependency of each answer is several times what there is to
 * say. A link is one (verdict, dependency); it is in the list of both.
 */
export class VerdictLedger {
  readonly #verdicts = new NumberTable(['firstLink', 'older', 'newer', 'pod']);
  /** By row of #verdicts. */
  readonly #ids: number[] = [];
  readonly #links = new NumberTable(['verdict', 'dependency', 'nextOfVerdict', 'nextOfDependency', 'previous']);
  readonly #dependencies = new NumberTable(['firstLink']);
  /** By row of #dependencies. */
  readonly #keys: DependencyKey[] = [];
  readonly #rowOfKey = new Map<DependencyKey, number>();
  readonly #pods = new Map<number, OfPod>();
  readonly #verdictsMax: number;
  #next = 1;
  #evictedTotal = 0;
  #invalidatedTotal = 0;

  constructor(verdictsMax: number = VERDICTS_MAX) {
    this.#verdictsMax = verdictsMax;
  }

  /** `pod`: whose question it answers, by its handle. */
  record(pod: number, dependencies: Iterable<DependencyKey>): RecordedVerdict {
    const evicted = this.size >= this.#verdictsMax ? this.#evictFor(pod) : undefined;
    const row = this.#verdicts.add();
    const id = this.#next++;
    this.#ids[row] = id;
    for (const key of dependencies) this.#link(row, key);
    this.#append(row, pod);
    return evicted === undefined ? { verdict: BigInt(id) } : { verdict: BigInt(id), evicted: BigInt(evicted) };
  }

  invalidate(keys: Iterable<DependencyKey>): bigint[] {
    const invalid: bigint[] = [];
    for (const key of keys) {
      // Forgetting a verdict takes it off the list, and the last one takes the key.
      for (let row = this.#rowOfKey.get(key); row !== undefined; row = this.#rowOfKey.get(key)) {
        const link = this.#dependencies.get(row, 'firstLink');
        invalid.push(BigInt(this.#forget(this.#links.get(link, 'verdict'))));
      }
    }
    this.#invalidatedTotal += invalid.length;
    return invalid;
  }

  get size(): number {
    return this.#verdicts.size;
  }

  get max(): number {
    return this.#verdictsMax;
  }

  get evictedTotal(): number {
    return this.#evictedTotal;
  }

  get invalidatedTotal(): number {
    return this.#invalidatedTotal;
  }

  #evictFor(pod: number): number {
    let from = this.#pods.get(pod);
    if (from === undefined || from.size * this.#pods.size <= this.#verdictsMax) {
      // Somebody has more than the pod that is within its share; that pod seldom asks.
      for (const other of this.#pods.values()) if (from === undefined || other.size > from.size) from = other;
    }
    this.#evictedTotal++;
    return this.#forget(from?.oldest ?? NONE);
  }

  #link(verdict: number, key: DependencyKey): void {
    let dependency = this.#rowOfKey.get(key);
    if (dependency === undefined) {
      dependency = this.#dependencies.add();
      this.#keys[dependency] = key;
      this.#rowOfKey.set(key, dependency);
    }
    const links = this.#links;
    const link = links.add();
    const next = this.#dependencies.get(dependency, 'firstLink');
    links.set(link, 'verdict', verdict);
    links.set(link, 'dependency', dependency);
    links.set(link, 'nextOfVerdict', this.#verdicts.get(verdict, 'firstLink'));
    links.set(link, 'nextOfDependency', next);
    if (next !== NONE) links.set(next, 'previous', link);
    this.#verdicts.set(verdict, 'firstLink', link);
    this.#dependencies.set(dependency, 'firstLink', link);
  }

  #unlink(link: number): void {
    const links = this.#links;
    const dependency = links.get(link, 'dependency');
    const next = links.get(link, 'nextOfDependency');
    const previous = links.get(link, 'previous');
    if (next !== NONE) links.set(next, 'previous', previous);
    if (previous !== NONE) links.set(previous, 'nextOfDependency', next);
    else this.#dependencies.set(dependency, 'firstLink', next);
    links.remove(link);
    if (this.#dependencies.get(dependency, 'firstLink') !== NONE) return;
    this.#rowOfKey.delete(this.#keys[dependency] ?? '');
    this.#keys[dependency] = '';
    this.#dependencies.remove(dependency);
  }

  #append(verdict: number, pod: number): void {
    const ofPod = this.#pods.get(pod);
    this.#verdicts.set(verdict, 'pod', pod);
    if (ofPod === undefined) {
      this.#pods.set(pod, { oldest: verdict, newest: verdict, size: 1 });
      return;
    }
    this.#verdicts.set(verdict, 'older', ofPod.newest);
    this.#verdicts.set(ofPod.newest, 'newer', verdict);
    ofPod.newest = verdict;
    ofPod.size++;
  }

  /** Returns its id. */
  #forget(verdict: number): number {
    const verdicts = this.#verdicts;
    let link = verdicts.get(verdict, 'firstLink');
    while (link !== NONE) {
      const next = this.#links.get(link, 'nextOfVerdict');
      this.#unlink(link);
      link = next;
    }
    this.#leavePod(verdict);
    verdicts.remove(verdict);
    return this.#ids[verdict] ?? 0;
  }

  #leavePod(verdict: number): void {
    const verdicts = this.#verdicts;
    const pod = verdicts.get(verdict, 'pod');
    const older = verdicts.get(verdict, 'older');
    const newer = verdicts.get(verdict, 'newer');
    const ofPod = this.#pods.get(pod);
    if (ofPod === undefined) return;
    if (older !== NONE) verdicts.set(older, 'newer', newer);
    else ofPod.oldest = newer;
    if (newer !== NONE) verdicts.set(newer, 'older', older);
    else ofPod.newest = older;
    ofPod.size--;
    if (ofPod.size === 0) this.#pods.delete(pod);
  }
}
