// SPDX-License-Identifier: Apache-2.0
//
// A second implementation of the wire, slow and obvious: what the generated code is held against.
import fc from 'fast-check';
import { ENUMS, STRUCTS, VARIANTS } from '#src/engine/port.schema.ts';
import { addressBytes, formatAddress } from '#src/model/address.ts';

type FieldType = string | readonly [string];
type Fields = Readonly<Record<string, FieldType>>;
export type Message = Readonly<Record<string, unknown>>;

const enums: Readonly<Record<string, readonly string[]>> = ENUMS;
const structs: Readonly<Record<string, Fields>> = STRUCTS;
const variants: Readonly<Record<string, Readonly<Record<string, Fields>>>> = VARIANTS;

const address = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(formatAddress);

const SCALARS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  bool: fc.boolean(),
  u8: fc.integer({ min: 0, max: 0xff }),
  u16: fc.integer({ min: 0, max: 0xffff }),
  u32: fc.integer({ min: 0, max: 0xffff_ffff }),
  i32: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
  u64: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  string: fc.string({ unit: 'grapheme', maxLength: 20 }),
  bytes: fc.uint8Array({ maxLength: 20 }),
  ip: address,
  endpoint: fc.record({ address, port: fc.integer({ min: 0, max: 0xffff }) }, { noNullPrototype: true }),
};

function valueOf(type: FieldType): fc.Arbitrary<unknown> {
  if (typeof type !== 'string') return fc.array(valueOf(type[0]), { maxLength: 3 });
  if (type.endsWith('?')) return fc.option(valueOf(type.slice(0, -1)), { nil: undefined });
  const cases = variants[type];
  if (cases !== undefined) return fc.oneof(...Object.entries(cases).map(([kind, fields]) => caseOf(kind, fields)));
  const values = enums[type];
  if (values !== undefined) return fc.constantFrom(...values);
  const fields = structs[type];
  if (fields !== undefined) return messageOf(fields);
  const scalar = SCALARS[type];
  if (scalar === undefined) throw new Error(`no such type: ${type}`);
  return scalar;
}

function caseOf(kind: string, fields: Fields): fc.Arbitrary<Message> {
  return messageOf(fields).map((message) => ({ kind, ...message }));
}

/** Arbitrary values for the fields of a message. */
export function messageOf(fields: Fields): fc.Arbitrary<Message> {
  const values = Object.entries(fields).map(([name, type]) => [name, valueOf(type)] as const);
  return fc.record(Object.fromEntries(values), { noNullPrototype: true });
}

function little(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_item, index) => Number((value >> BigInt(8 * index)) & 0xffn));
}

function packed(type: FieldType, value: unknown): number[] {
  if (typeof type !== 'string') {
    const items = value as readonly unknown[];
    return [...little(BigInt(items.length), 4), ...items.flatMap((item) => packed(type[0], item))];
  }
  if (type.endsWith('?')) return value === undefined ? [0] : [1, ...packed(type.slice(0, -1), value)];
  const cases = variants[type];
  if (cases !== undefined) return packCase(cases, value as Message);
  const values = enums[type];
  if (values !== undefined) return [values.indexOf(value as string)];
  const fields = structs[type];
  if (fields !== undefined) return packFields(fields, value as Message);
  return packScalar(type, value);
}

function packScalar(type: string, value: unknown): number[] {
  switch (type) {
    case 'bool':
      return [value === true ? 1 : 0];
    case 'string':
    case 'bytes': {
      const bytes = type === 'string' ? Buffer.from(value as string) : (value as Uint8Array);
      return [...little(BigInt(bytes.length), 4), ...bytes];
    }
    case 'ip': {
      const bytes = addressBytes(value as string);
      return bytes.length === 16 ? [...bytes] : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes];
    }
    case 'endpoint': {
      const endpoint = value as { address: string; port: number };
      return [...packScalar('ip', endpoint.address), ...little(BigInt(endpoint.port), 2)];
    }
    default:
      return little(BigInt(value as number | bigint), Number(/\d+$/.exec(type)?.[0]) / 8);
  }
}

function packCase(cases: Readonly<Record<string, Fields>>, message: Message): number[] {
  const kind = message['kind'] as string;
  return [Object.keys(cases).indexOf(kind), ...packFields(cases[kind] ?? {}, message)];
}

/** The fields of a structure, one after the other. */
export function packFields(fields: Fields, message: Message): number[] {
  return Object.entries(fields).flatMap(([name, type]) => packed(type, message[name]));
}

/** A batch of messages of one union, as the comment on top of the schema describes it. */
export function packBatch(union: Readonly<Record<string, Fields>>, messages: readonly Message[]): Buffer {
  const items = messages.map((message) => packCase(union, message));
  return Buffer.from([...little(BigInt(items.length), 4), ...items.flat()]);
}
