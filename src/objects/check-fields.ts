// SPDX-License-Identifier: Apache-2.0

import { isNear } from '../model/edit-distance.ts';
import { FIELDS, type Fields } from './fields.ts';
import { type FieldPath, isMapping, type ObjectReader } from './object-reader.ts';
import type { MeshObject } from './objects.ts';
import { shown } from './problem.ts';
import { WAYPOINT_CLASS } from './read-gateway.ts';

const DISTANCE_MAX = 2;

/**
 * Tells of every field of an object that has no effect, by the table of fields, and of those that are not in it.
 *
 * Of a security object a field of its spec that is unknown, or has no value, refuses it: neither a misspelt `rulez` nor an empty
 * `principals:` may silently mean "allow".
 */
export function checkFields(object: MeshObject, value: unknown, reader: ObjectReader): void {
  if (isOthers(object)) return;
  const { strict, fields } = FIELDS[object.kind];
  walk(fields, value, [], { strict, reader });
}

// A Gateway that is no waypoint, and a slice that repeats what a selector says: nobody wrote them for this mesh.
function isOthers(object: MeshObject): boolean {
  if (object.kind === 'Gateway') return object.className !== WAYPOINT_CLASS;
  return object.kind === 'EndpointSlice' && object.managed;
}

interface Walk {
  readonly strict: boolean;
  readonly reader: ObjectReader;
}

function walk(fields: Fields, value: unknown, path: FieldPath, check: Walk): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) walk(fields, item, [...path, index], check);
    return;
  }
  if (!isMapping(value)) return;
  for (const [name, own] of Object.entries(value)) {
    const rule = Object.hasOwn(fields, name) ? fields[name] : fields['*'];
    const place = [...path, name];
    const strict = check.strict && place[0] !== 'metadata';
    if (rule === undefined) reportUnknown(fields, name, place, { ...check, strict });
    else if (own === null || own === undefined) {
      if (strict) check.reader.reject(place, 'has no value; give it one or remove it');
    } else if (rule.is === 'told') {
      if (!isEmpty(own)) check.reader.note(place, 'FIELD_IGNORED', `has no effect: ${rule.how}`);
    } else if (rule.of !== undefined) walk(rule.of, own, place, check);
  }
}

function reportUnknown(fields: Fields, name: string, path: FieldPath, { strict, reader }: Walk): void {
  const known = Object.keys(fields).filter((one) => one !== '*');
  if (strict) return reader.reject(path, `unknown field; known here: ${known.join(', ')}`);
  const meant = known.find((one) => isNear(name, one, DISTANCE_MAX));
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  reader.note(path, 'FIELD_UNKNOWN', `there is no field ${shown(name)} here, so it has no effect${hint}`);
}

// As if it were not there.
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return value === '' || value === false || (isMapping(value) && Object.keys(value).length === 0);
}
