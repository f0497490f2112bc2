// SPDX-License-Identifier: Apache-2.0
import { type GeneratedFile, generatedHeader } from './generated-file.ts';
import {
  enums,
  type Fields,
  type FieldType,
  flagEnums,
  isEnum,
  isStruct,
  isVariant,
  itemOf,
  type Messages,
  minimumBytes,
  schemaHash,
  structs,
  unions,
  variants,
  verbArguments,
  verbResults,
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
  const { item, shape } = itemOf(type);
  const name = isEnum(item) || isStruct(item) || isVariant(item) ? item : SCALAR_TYPES[item];
  if (name === undefined) throw new Error(`src/engine/port.schema.ts: unknown type "${item}"`);
  if (shape === 'list') return `readonly ${name}[]`;
  return shape === 'optional' ? `${name} | undefined` : name;
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
  if (isStruct(item) || isVariant(item)) return `write${item}(w, ${value})`;
  return `w.${item}(${value}, ${where})`;
}

function writerText(name: string, fields: Fields): string {
  const lines = Object.entries(fields).map(([field, type]) => {
    const { item, shape } = itemOf(type);
    const where = `'${name}.${field}'`;
    if (shape === 'one') return `  ${writeItem(item, `m.${field}`, where)};\n`;
    if (shape === 'optional')
      return `  w.optional(m.${field}, ${where}, (item) => ${writeItem(item, 'item', where)});\n`;
    return `  w.list(m.${field}, ${where}, (item) => ${writeItem(item, 'item', where)});\n`;
  });
  return `function write${name}(w: ByteWriter, m: ${name}): void {\n${lines.join('')}}\n`;
}

function readItem(item: string, where: string): string {
  if (isEnum(item)) return `r.choice(${valuesName(item)}, ${where})`;
  if (isStruct(item) || isVariant(item)) return `read${item}(r)`;
  return `r.${item}(${where})`;
}

function readerText(name: string, fields: Fields, discriminated: boolean): string {
  const lines = Object.entries(fields).map(([field, type]) => {
    const { item, shape } = itemOf(type);
    const where = `'${name}.${field}'`;
    const read = readItem(item, where);
    if (shape === 'one') return `    ${field}: ${read},\n`;
    if (shape === 'optional') return `    ${field}: r.optional(${where}, () => ${read}),\n`;
    return `    ${field}: r.list(${minimumBytes(item)}, ${where}, () => ${read}),\n`;
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

/** The writer of a variant: the index of the case, then its fields. */
function variantWriterText(name: string, cases: Messages): string {
  const lines = Object.keys(cases).map(
    (one, index) =>
      `    case '${one}':\n      w.u8(${index}, '${name} kind');\n      write${one}(w, m);\n      break;\n`,
  );
  return `function write${name}(w: ByteWriter, m: ${name}): void {\n  switch (m.kind) {\n${lines.join('')}  }\n}\n`;
}

function variantReaderText(name: string, cases: Messages): string {
  const lines = Object.keys(cases).map((one, index) => `    case ${index}:\n      return read${one}(r);\n`);
  return (
    `function read${name}(r: ByteReader): ${name} {\n  const kind = r.u8('${name} kind');\n  switch (kind) {\n${lines.join('')}` +
    `    default:\n      return r.fail('${name} kind', \`\${kind} is not a kind of ${name}\`);\n  }\n}\n`
  );
}

/** Names of structures and variants that these messages hold, however deep. */
function heldBy(messages: readonly Messages[]): ReadonlySet<string> {
  const held = new Set<string>();
  const look = (fields: Fields): void => {
    for (const type of Object.values(fields)) {
      const { item } = itemOf(type);
      if (held.has(item)) continue;
      held.add(item);
      for (const inner of [structs[item] ?? {}, ...Object.values(variants[item] ?? {})]) look(inner);
    }
  };
  for (const union of messages) for (const fields of Object.values(union)) look(fields);
  return held;
}

function entriesIn<T>(table: Readonly<Record<string, T>>, names: ReadonlySet<string>): [string, T][] {
  return Object.entries(table).filter(([name]) => names.has(name));
}

/** The imports of the codecs: of what the types export, each name that they use. */
function codecHeader(types: string, code: string): string {
  const used = Array.from(types.matchAll(/^export (const|type|interface) (\w+)/gm), ([, what, name = '']) => ({
    what,
    name,
  }))
    .filter(({ name }) => new RegExp(`\\b${name}\\b`).test(code))
    .map(({ what, name }) => `  ${what === 'const' ? '' : 'type '}${name},\n`);
  return (
    `${generatedHeader('src/engine/port.schema.ts')}import {\n${used.join('')}} from '../model/messages.gen.ts';\n` +
    `import { ByteReader } from './byte-reader.ts';\nimport { ByteWriter } from './byte-writer.ts';\n`
  );
}

/** `src/model/messages.gen.ts`: types of every message; `src/engine/messages.gen.ts`: encoders of what goes down, decoders of what comes up. */
export function generateMessagesTs(): GeneratedFile[] {
  const { Command, Answer, Event, Snapshot } = unions;
  const all = (messages: Messages, make: (name: string, fields: Fields) => string): string[] =>
    Object.entries(messages).map(([name, fields]) => make(name, fields));
  const down = heldBy([Command, Answer, verbArguments]);
  const up = heldBy([Event, Snapshot, verbResults]);
  const types = [
    `${generatedHeader('src/engine/port.schema.ts')}import type { SocketAddress } from './address.ts';\n`,
    ...Object.entries(enums).map(([name, values]) => enumText(name, values)),
    ...all(structs, (name, fields) => interfaceText(name, fields, false)),
    ...Object.values(variants).flatMap((cases) => all(cases, (name, fields) => interfaceText(name, fields, true))),
    ...Object.entries(variants).map(([name, cases]) => `export type ${name} = ${Object.keys(cases).join(' | ')};\n`),
    ...[verbArguments, verbResults].flatMap((verbs) =>
      all(verbs, (name, fields) => interfaceText(name, fields, false)),
    ),
    ...[Command, Answer, Event].flatMap((union) => all(union, (name, fields) => interfaceText(name, fields, true))),
    ...all(Snapshot, (name, fields) => interfaceText(name, fields, false)),
    `export type Command = ${Object.keys(Command).join(' | ')};\nexport type Answer = ${Object.keys(Answer).join(' | ')};\n` +
      `export type EngineEvent = ${Object.keys(Event).join(' | ')};\n`,
  ];
  const codecs = [
    `/** Both sides carry it: an addon built from another schema is refused. */\nexport const SCHEMA_HASH = '${schemaHash()}';\n`,
    ...entriesIn(structs, down).map(([name, fields]) => writerText(name, fields)),
    ...entriesIn(variants, down).flatMap(([name, cases]) => [
      ...all(cases, writerText),
      variantWriterText(name, cases),
    ]),
    ...[Command, Answer, verbArguments].flatMap((union) => all(union, writerText)),
    ...entriesIn(structs, up).map(([name, fields]) => readerText(name, fields, false)),
    ...entriesIn(variants, up).flatMap(([name, cases]) => [
      ...all(cases, (one, fields) => readerText(one, fields, true)),
      variantReaderText(name, cases),
    ]),
    ...all(verbResults, (name, fields) => readerText(name, fields, false)),
    ...all(Event, (name, fields) => readerText(name, fields, true)),
    ...all(Snapshot, (name, fields) => readerText(name, fields, false)),
    encoderText('Command', Command),
    encoderText('Answer', Answer),
    decoderText(Event),
    snapshotText(Snapshot),
    ...Object.keys(verbArguments).map(
      (name) =>
        `export function encode${name}(m: ${name}): Uint8Array {\n  const w = new ByteWriter();\n  write${name}(w, m);\n  return w.finish();\n}\n`,
    ),
    ...Object.keys(verbResults).map(
      (name) =>
        `export function decode${name}(bytes: Uint8Array): ${name} {\n  const r = new ByteReader(bytes, '${name}');\n  const m = read${name}(r);\n  r.finish();\n  return m;\n}\n`,
    ),
  ];
  const code = codecs.join('\n');
  return [
    { path: 'src/model/messages.gen.ts', content: types.join('\n') },
    { path: 'src/engine/messages.gen.ts', content: `${codecHeader(types.join('\n'), code)}\n${code}` },
  ];
}
