// SPDX-License-Identifier: Apache-2.0

import { objectKey } from '../objects/object-meta.ts';
import type { ObjectSnapshot } from '../objects/object-store.ts';
import type { ServiceEntryObject, ServiceObject, ServiceObjectPort } from '../objects/objects.ts';
import type { Notice } from '../objects/problem.ts';

/**
 * The ports that the mesh carries: those of TCP. A number is one port there, whatever UDP has on the same one.
 *
 * Istio keeps UDP's among them, and whoever is listed first gets the connections of both.
 */
export function carriedPorts(
  object: ServiceObject | ServiceEntryObject,
  objects: ObjectSnapshot,
  notices: Notice[],
): readonly ServiceObjectPort[] {
  for (const [index, { port, protocol }] of object.ports.entries()) {
    if (isCarried(object.ports[index] as ServiceObjectPort)) continue;
    const message = `spec.ports[${index}]: the mesh carries TCP; ${protocol} ${port} goes its own way, without it (${objects.placeOf(object)})`;
    notices.push({ code: 'NOT_CARRIED', object: objectKey(object.kind, object.meta), message });
  }
  return object.ports.filter(isCarried);
}

export function isCarried({ protocol }: ServiceObjectPort): boolean {
  return protocol === 'TCP';
}
