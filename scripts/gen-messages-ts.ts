// SPDX-License-Identifier: Apache-2.0
import { type GeneratedFile, generatedHeader } from './generated-file.ts';
import {
  enums,
  type Fields,
  type FieldType,
  flagEnums,
  isEnum,
  isStruct,
  itemOf,
  type Messages,
  minimumBytes,
  schemaHash,
  structs,
  unions,
} from './message-schema.ts';

const SCALAR_TYPES: Readonly<Record<string, string>> = {
  bool: 'boolean',
  u8: 'number',
  u16: 'number',
  u32: 'number',
  i32: 'number',
  u64: 'bigint',
  string: 'string',
  bytes: 'Uint8Array',
  ip: 'string',
  endpoint: 'SocketAddress',
};

function typeOf(type: FieldType): string {
  const { item, list } = itemOf(type);
  const name = isEnum(item) || isStruct(item) ? item : SCALAR_TYPES[item];
  if (name === undefined) throw new Error(`src/engine/port.schema.ts: unknown type "${item}"`);
  return list ? `readonly ${name}[]` : name;
}

/** `HopKind` → `HOP_KINDS`: the name of the constant that lists an enum's values. */
function valuesName(name: string): string {
  const words = name.replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  return words.endsWith('S')
    ? `${words.slice(0, -1)}${words.endsWith('SS') ? 'SES' : 'S'}`
    : words.replace(/Y$/, 'IE') + 'S';
}

function enumText(name: string, values: readonly string[]): string {
  const list = values.map((value) => `'${value}'`).join(', ');
  let text = `export const ${valuesName(name)} = [${list}] as const;\n`;
  text += `export type ${name} = (typeof ${valuesName(name)})[number];\n`;
  if (flagEnums.includes(name)) {
    const bits = values.map((value, index) => `${value}: ${1 << index}`).join(', ');
    text += `export const ${name}Bit = { ${bits} } as const satisfies Record<${name}, number>;\n`;
  }
  return text;
}

function interfaceText(name: string, fields: Fields, discriminated: boolean): string {
  const kind = discriminated ? `  readonly kind: '${name}';\n` : '';
  const lines = Object.entries(fields).map(([field, type]) => `  readonly ${field}: ${typeOf(type)};\n`);
  return `export interface ${name} {\n${kind}${lines.join('')}}\n`;
}

function writeItem(item: string, value: string, where: string): string {
  if (isEnum(item)) return `w.choice(${valuesName(item)}, ${value}, ${where})`;
  if (isStruct(item)) return `write${item}(w, ${value})`;
  return `w.${item}(${value}, ${where})`;
}

function writerText(name: string, fields: Fields): string {
  const lines = Object.entries(fields).map(([field, type]) => {
    const { item, list } = itemOf(type);
    const where = `'${name}.${field}'`;
    if (!list) return `  ${writeItem(item, `m.${field}`, where)};\n`;
    return `  w.list(m.${field}, ${where}, (item) => ${writeItem(item, 'item', where)});\n`;
  });
  return `function write${name}(w: ByteWriter, m: ${name}): void {\n${lines.join('')}}\n`;
}

function readItem(item: string, where: string): string {
  if (isEnum(item)) return `r.choice(${valuesName(item)}, ${where})`;
  if (isStruct(item)) return `read${item}(r)`;
  return `r.${item}(${where})`;
}

function readerText(name: string, fields: Fields, discriminated: boolean): string {
  const lines = Object.entries(fields).map(([field, type]) => {
    const { item, list } = itemOf(type);
    const where = `'${name}.${field}'`;
    const value = list
      ? `r.list(${minimumBytes(item)}, ${where}, () => ${readItem(item, where)})`
      : readItem(item, where);
    return `    ${field}: ${value},\n`;
  });
  const kind = discriminated ? `    kind: '${name}',\n` : '';
  return `function read${name}(r: ByteReader): ${name} {\n  return {\n${kind}${lines.join('')}  };\n}\n`;
}

function encoderText(union: string, messages: Messages): string {
  const cases = Object.keys(messages).map(
    (name, kind) =>
      `      case '${name}':\n        w.u8(${kind}, '${union} kind');\n        write${name}(w, message);\n        break;\n`,
  );
  return (
    `export function encode${union}s(messages: readonly ${union}[]): Uint8Array {\n` +
    `  const w = new ByteWriter();\n  w.list(messages, '${union} batch', (message) => {\n    switch (message.kind) {\n` +
    `${cases.join('')}    }\n  });\n  return w.finish();\n}\n`
  );
}

function decoderText(messages: Messages): string {
  const cases = Object.keys(messages).map((name, kind) => `      case ${kind}:\n        return read${name}(r);\n`);
  return (
    `export function decodeEvents(bytes: Uint8Array): EngineEvent[] {\n` +
    `  const r = new ByteReader(bytes, 'events');\n` +
    `  const events = r.list(1, 'Event batch', (): EngineEvent => {\n    const kind = r.u8('Event kind');\n    switch (kind) {\n` +
    `${cases.join('')}      default:\n        return r.fail('Event kind', \`\${kind} is not a kind of event\`);\n    }\n  });\n` +
    `  r.finish();\n  return events;\n}\n`
  );
}

/** `Connection` → `connections`: the part of a snapshot that holds these rows. */
function partName(name: string): string {
  return `${name[0]?.toLowerCase()}${name.slice(1)}s`;
}

function snapshotText(messages: Messages): string {
  const names = Object.keys(messages);
  const cases = names.map(
    (name, kind) => `      case ${kind}:\n        rows.${partName(name)}.push(read${name}(r));\n        break;\n`,
  );
  const parts = names.map((name) => `  readonly ${partName(name)}: ${name}[];\n`).join('');
  const empty = names.map((name) => `${partName(name)}: []`).join(', ');
  const bits = names.map((name, index) => `${partName(name)}: ${1 << index}`).join(', ');
  return (
    `export interface SnapshotRows {\n${parts}}\n\n` +
    `/** Bits of the mask that asks the engine for parts of a snapshot. */\n` +
    `export const SnapshotPartBit = { ${bits} } as const satisfies Record<keyof SnapshotRows, number>;\n\n` +
    `export function decodeSnapshot(bytes: Uint8Array): SnapshotRows {\n` +
    `  const r = new ByteReader(bytes, 'snapshot');\n  const rows: SnapshotRows = { ${empty} };\n` +
    `  r.list(1, 'Snapshot batch', () => {\n    const kind = r.u8('Snapshot kind');\n    switch (kind) {\n` +
    `${cases.join('')}      default:\n        r.fail('Snapshot kind', \`\${kind} is not a kind of row\`);\n    }\n  });\n` +
    `  r.finish();\n  return rows;\n}\n`
  );
}

/** Structures that messages of these unions hold, in the schema's order. */
function structsOf(messages: readonly Messages[]): [string, Fields][] {
  const used = new Set(
    messages.flatMap((union) =>
      Object.values(union).flatMap((fields) => Object.values(fields).map((type) => itemOf(type).item)),
    ),
  );
  return Object.entries(structs).filter(([name]) => used.has(name));
}

/** `src/engine/messages.gen.ts`: types of every message, encoders of what goes down, decoders of what comes up. */
export function generateMessagesTs(): GeneratedFile {
  const { Command, Answer, Event, Snapshot } = unions;
  const all = (messages: Messages, make: (name: string, fields: Fields) => string): string[] =>
    Object.entries(messages).map(([name, fields]) => make(name, fields));
  const down = [Command, Answer];
  const up = [Event, Snapshot];
  const parts = [
    `${generatedHeader('src/engine/port.schema.ts')}import type { SocketAddress } from '../model/route.ts';\nimport { ByteReader } from './byte-reader.ts';\nimport { ByteWriter } from './byte-writer.ts';\n`,
    `/** Both sides carry it: an addon built from another schema is refused. */\nexport const SCHEMA_HASH = '${schemaHash()}';\n`,
    ...Object.entries(enums).map(([name, values]) => enumText(name, values)),
    ...all(structs, (name, fields) => interfaceText(name, fields, false)),
    ...[Command, Answer, Event].flatMap((union) => all(union, (name, fields) => interfaceText(name, fields, true))),
    ...all(Snapshot, (name, fields) => interfaceText(name, fields, false)),
    `export type Command = ${Object.keys(Command).join(' | ')};\nexport type Answer = ${Object.keys(Answer).join(' | ')};\n` +
      `export type EngineEvent = ${Object.keys(Event).join(' | ')};\n`,
    ...structsOf(down).map(([name, fields]) => writerText(name, fields)),
    ...down.flatMap((union) => all(union, writerText)),
    ...structsOf(up).map(([name, fields]) => readerText(name, fields, false)),
    ...all(Event, (name, fields) => readerText(name, fields, true)),
    ...all(Snapshot, (name, fields) => readerText(name, fields, false)),
    encoderText('Command', Command),
    encoderText('Answer', Answer),
    decoderText(Event),
    snapshotText(Snapshot),
  ];
  return { path: 'src/engine/messages.gen.ts', content: parts.join('\n') };
}
