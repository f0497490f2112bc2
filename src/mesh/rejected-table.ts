// SPDX-License-Identifier: Apache-2.0

import { addressBytes, isRange, parseAddress, sharePrefix } from '../model/address.ts';
import type { RejectedResource } from '../model/rejected-resource.ts';
import type { NetworkAddress } from '../model/service.ts';
import { type DependencyKey, dependency, NETWORK } from './view.ts';

type Space = 'addresses' | 'policies';

/** Stands for rejected policies that there was no room for. */
const UNNAMED = '(too many were rejected)';

/**
 * What was rejected and has neither come again in a form that can be used nor been removed.
 *
 * Where nothing else is known, what stands here refuses: the resource may have wanted a waypoint, HBONE or a denial.
 * Bounded; once that was not enough, every address, and every namespace, counts as one of a rejected resource.
 * Limits: lookups O(rejected ranges), changes O(addresses).
 */
export class RejectedTable {
  // By space and name: a Service and a policy may have one name.
  readonly #resources = new Map<string, RejectedResource>();
  readonly #addresses = new Map<string, number>();
  readonly #ranges = new Map<string, readonly NetworkAddress[]>();
  readonly #policies = new Map<string, Set<string>>();
  readonly #max: number;
  #lostTotal = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes the place of what it was before under this name; `keys` gets what may have another answer now. */
  set(resource: RejectedResource, keys: Set<DependencyKey>): void {
    const space = spaceOf(resource);
    this.delete(space, resource.name, keys);
    if (this.#resources.size >= this.#max) {
      this.#lostTotal += 1;
      keys.add(dependency.ranges(NETWORK)).add(dependency.policies(''));
      return;
    }
    this.#resources.set(keyOf(space, resource.name), resource);
    const ranges = usable(resource).filter(isRange);
    if (ranges.length > 0) this.#ranges.set(resource.name, ranges);
    if (resource.scope !== undefined) {
      const names = this.#policies.get(resource.scope) ?? new Set();
      this.#policies.set(resource.scope, names.add(resource.name));
    }
    this.#count(resource, 1, keys);
  }

  delete(space: Space, name: string, keys: Set<DependencyKey>): void {
    const known = this.#resources.get(keyOf(space, name));
    if (known === undefined) return;
    this.#resources.delete(keyOf(space, name));
    if (space === 'addresses') this.#ranges.delete(name);
    if (known.scope !== undefined) this.#policies.get(known.scope)?.delete(name);
    this.#count(known, -1, keys);
  }

  hasAddress(network: string, address: string): boolean {
    if (this.#lostTotal > 0 || this.#addresses.has(`${network}/${address}`)) return true;
    if (this.#ranges.size === 0) return false;
    const bytes = addressBytes(address);
    const isInside = (range: NetworkAddress): boolean =>
      range.network === network && sharePrefix(addressBytes(range.address), bytes, range.prefixLength ?? 0);
    return [...this.#ranges.values()].some((ranges) => ranges.some(isInside));
  }

  /** Names of the policies that hold in that namespace, "" everywhere. */
  policiesOf(scope: string): readonly string[] {
    const names = [...(this.#policies.get(scope) ?? [])];
    return this.#lostTotal > 0 && scope === '' ? [...names, UNNAMED] : names;
  }

  values(): Iterable<RejectedResource> {
    return this.#resources.values();
  }

  get size(): number {
    return this.#resources.size;
  }

  get max(): number {
    return this.#max;
  }

  /** What there was no room for. */
  get lostTotal(): number {
    return this.#lostTotal;
  }

  #count(resource: RejectedResource, change: 1 | -1, keys: Set<DependencyKey>): void {
    if (resource.scope !== undefined) keys.add(dependency.policies(resource.scope));
    for (const address of usable(resource)) {
      if (isRange(address)) {
        keys.add(dependency.ranges(address.network));
        continue;
      }
      const key = `${address.network}/${address.address}`;
      keys.add(dependency.address(address.network, address.address));
      const count = (this.#addresses.get(key) ?? 0) + change;
      if (count > 0) this.#addresses.set(key, count);
      else this.#addresses.delete(key);
    }
  }
}

function spaceOf({ kind }: RejectedResource): Space {
  return kind === 'policy' ? 'policies' : 'addresses';
}

function keyOf(space: Space, name: string): string {
  return `${space} ${name}`;
}

// What was rejected may have been rejected for this.
function usable({ addresses }: RejectedResource): readonly NetworkAddress[] {
  return addresses.filter(({ address }) => parseAddress(address) === address);
}
