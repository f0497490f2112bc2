// SPDX-License-Identifier: Apache-2.0

import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { ServiceEntryObject, ServiceObjectPort } from '../objects/objects.ts';
import { type Notice, shown } from '../objects/problem.ts';
import { carriedPorts } from './ports.ts';

/** A ServiceEntry's part in one host. */
export interface HostShare {
  readonly entry: ServiceEntryObject;
  /** What it adds to the host: the ports that the mesh carries and that no older entry has. */
  readonly ports: readonly ServiceObjectPort[];
}

/** A host that ServiceEntries of one namespace declare. */
export interface EntryHost {
  readonly namespace: string;
  readonly host: string;
  /** The oldest first; at least one. */
  readonly shares: readonly HostShare[];
}

/**
 * Which entry has which ports of which host.
 *
 * Several entries of a namespace may declare one host, each with ports and endpoints of its own: together they are that
 * host, and of one port number the oldest entry's counts, as in Istio's sidecars. An entry that has no endpoints because
 * it leaves addresses alone (NONE) cannot be part of a host that has some.
 */
export class EntryHosts {
  readonly #hosts = new Map<string, EntryHost & { readonly shares: HostShare[] }>();

  constructor(objects: ObjectSnapshot, notices: Notice[]) {
    for (const entry of [...objects.of('ServiceEntry')].sort(olderFirst)) {
      // Told where it was read: nobody here knows the name that a connection was made for.
      if (entry.resolution === 'DYNAMIC_DNS') continue;
      if (!entry.exportTo.includes('~')) this.#add(entry, carriedPorts(entry, objects, notices), objects, notices);
    }
  }

  values(): Iterable<EntryHost> {
    return this.#hosts.values();
  }

  /** The ports that an entry adds to a host; none when it has no part in it. */
  portsOf(entry: ServiceEntryObject, host: string): readonly ServiceObjectPort[] | undefined {
    const shares = this.#hosts.get(`${entry.meta.namespace}/${host}`)?.shares;
    return shares?.find((share) => share.entry === entry)?.ports;
  }

  #add(
    entry: ServiceEntryObject,
    ports: readonly ServiceObjectPort[],
    objects: ObjectSnapshot,
    notices: Notice[],
  ): void {
    const { namespace } = entry.meta;
    const note = (message: string): void => {
      const text = `${message} (${objects.placeOf(entry)})`;
      notices.push({ code: 'HOSTNAME_TAKEN', object: objectKey('ServiceEntry', entry.meta), message: text });
    };
    for (const host of new Set(entry.hosts)) {
      const key = `${namespace}/${host}`;
      const known = this.#hosts.get(key);
      const first = known?.shares[0]?.entry;
      if (known === undefined || first === undefined) {
        this.#hosts.set(key, { namespace, host, shares: [{ entry, ports }] });
      } else if ((first.resolution === 'NONE') !== (entry.resolution === 'NONE')) {
        note(`spec.hosts: ${shown(host)} is declared by ${nameOf(first)} with another resolution; that one stays`);
      } else {
        const taken = new Map(
          known.shares.flatMap((share) => share.ports.map(({ port }) => [port, share.entry] as const)),
        );
        for (const { port } of ports) {
          const owner = taken.get(port);
          if (owner !== undefined)
            note(`spec.ports: port ${port} of ${shown(host)} is that of ${nameOf(owner)}, which is older and stays`);
        }
        known.shares.push({ entry, ports: ports.filter(({ port }) => !taken.has(port)) });
      }
    }
  }
}

function olderFirst(a: ServiceEntryObject, b: ServiceEntryObject): number {
  return a.meta.createdMs - b.meta.createdMs;
}

function nameOf({ meta }: ServiceEntryObject): string {
  return objectKey('ServiceEntry', meta);
}
