// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import {
  ANSWERS,
  ARGUMENTS,
  COMMANDS,
  ENUMS,
  EVENTS,
  FLAG_ENUMS,
  RESULTS,
  SNAPSHOTS,
  STRUCTS,
  VARIANTS,
} from '../src/engine/port.schema.ts';

/** A field's type as the schema writes it: the name of a scalar, enum, structure or variant, `name?`, or `[name]` for a list. */
export type FieldType = string | readonly [string];
export type Fields = Readonly<Record<string, FieldType>>;
export type Messages = Readonly<Record<string, Fields>>;

/** Smallest number of bytes a scalar takes on the wire; what bounds a list's count before anything is allocated. */
const SCALAR_BYTES: Readonly<Record<string, number>> = {
  bool: 1,
  u8: 1,
  u16: 2,
  u32: 4,
  i32: 4,
  u64: 8,
  string: 4,
  bytes: 4,
  ip: 16,
  endpoint: 18,
};

export const enums: Readonly<Record<string, readonly string[]>> = ENUMS;
export const flagEnums: readonly string[] = FLAG_ENUMS;
export const structs: Messages = STRUCTS;
export const variants: Readonly<Record<string, Messages>> = VARIANTS;
export const verbArguments: Messages = ARGUMENTS;
export const verbResults: Messages = RESULTS;

/** The unions of messages that cross, in the order of their kinds. */
export const unions = {
  Command: COMMANDS as Messages,
  Answer: ANSWERS as Messages,
  Event: EVENTS as Messages,
  Snapshot: SNAPSHOTS as Messages,
} as const;

export function isEnum(name: string): boolean {
  return Object.hasOwn(enums, name);
}

export function isStruct(name: string): boolean {
  return Object.hasOwn(structs, name);
}

export function isVariant(name: string): boolean {
  return Object.hasOwn(variants, name);
}

export interface Item {
  readonly item: string;
  readonly shape: 'one' | 'optional' | 'list';
}

export function itemOf(type: FieldType): Item {
  if (typeof type !== 'string') return { item: type[0], shape: 'list' };
  return type.endsWith('?') ? { item: type.slice(0, -1), shape: 'optional' } : { item: type, shape: 'one' };
}

/** Lower bound of an encoded item's length. Throws for a type that the schema does not define. */
export function minimumBytes(type: FieldType): number {
  const { item, shape } = itemOf(type);
  if (shape === 'list') return 4;
  if (shape === 'optional' || isEnum(item)) return 1;
  const cases = variants[item];
  if (cases !== undefined) return 1 + Math.min(...Object.values(cases).map(minimumOf));
  const fields = structs[item];
  if (fields !== undefined) return minimumOf(fields);
  const bytes = SCALAR_BYTES[item];
  if (bytes === undefined) throw new Error(`src/engine/port.schema.ts: unknown type "${item}"`);
  return bytes;
}

function minimumOf(fields: Fields): number {
  return Object.values(fields).reduce((sum, field) => sum + minimumBytes(field), 0);
}

/** Short name of the schema's content: both sides carry it, so an addon built from another schema is refused at open. */
export function schemaHash(): string {
  const text = JSON.stringify([enums, flagEnums, structs, variants, verbArguments, verbResults, unions]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** `originalDst` → `original_dst`. `errno` is a macro in C, so it is spelled as Status spells it. */
export function snakeCase(name: string): string {
  if (name === 'errno') return 'errno_value';
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `mutual_tls`, `sourceAddress`, `PEER_RESET` → `kMutualTls`, `kSourceAddress`, `kPeerReset`. */
export function constantName(name: string): string {
  const words = name === name.toUpperCase() ? name.toLowerCase() : name;
  return `k_${words}`.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
