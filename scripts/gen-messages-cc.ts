// SPDX-License-Identifier: Apache-2.0
import { type GeneratedFile, generatedHeader } from './generated-file.ts';
import {
  constantName,
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
  snakeCase,
  structs,
  unions,
  variants,
  verbArguments,
  verbResults,
} from './message-schema.ts';

const SCALAR_TYPES: Readonly<Record<string, string>> = {
  bool: 'bool',
  u8: 'uint8_t',
  u16: 'uint16_t',
  u32: 'uint32_t',
  i32: 'int32_t',
  u64: 'uint64_t',
  string: 'std::string',
  bytes: 'std::vector<uint8_t>',
  ip: 'IpAddress',
  endpoint: 'SocketAddress',
};

function typeOf(type: FieldType): string {
  const { item, shape } = itemOf(type);
  const name = isEnum(item) || isStruct(item) || isVariant(item) ? item : SCALAR_TYPES[item];
  if (name === undefined) throw new Error(`src/engine/port.schema.ts: unknown type "${item}"`);
  if (shape === 'list') return `std::vector<${name}>`;
  return shape === 'optional' ? `std::optional<${name}>` : name;
}

function initialOf(type: FieldType): string {
  const { item, shape } = itemOf(type);
  if (shape !== 'one') return '{}';
  if (item === 'bool') return ' = false';
  if (/^[ui]\d+$/.test(item)) return ' = 0';
  return '{}';
}

function structText(name: string, fields: Fields, kind: number | undefined): string {
  const lines = Object.entries(fields).map(
    ([field, type]) => `  ${typeOf(type)} ${snakeCase(field)}${initialOf(type)};\n`,
  );
  const kindLine = kind === undefined ? '' : `  static constexpr uint8_t kKind = ${kind};\n`;
  return `struct ${name} {\n${kindLine}${lines.join('')}  bool operator==(const ${name}&) const = default;\n};\n`;
}

function enumText(name: string, values: readonly string[]): string {
  const list = values.map((value, index) => `${constantName(value)} = ${index}`).join(', ');
  let text = `enum class ${name} : uint8_t { ${list} };\nstd::string_view NameOf(${name} value);\n`;
  if (flagEnums.includes(name)) {
    text += `constexpr uint8_t BitOf(${name} value) {\n  return static_cast<uint8_t>(1u << static_cast<uint8_t>(value));\n}\n`;
  }
  return text;
}

function enumNames(name: string, values: readonly string[]): string {
  const list = values.map((value) => `"${value}"`).join(', ');
  return (
    `std::string_view NameOf(${name} value) {\n  static constexpr std::string_view kNames[] = {${list}};\n` +
    `  const auto index = static_cast<size_t>(value);\n  return index < std::size(kNames) ? kNames[index] : "invalid";\n}\n`
  );
}

function decodeItem(item: string, target: string): string {
  if (isEnum(item)) return `ReadEnum(reader, ${enums[item]?.length ?? 0}, ${target})`;
  if (isStruct(item) || isVariant(item)) return `Decode(reader, ${target})`;
  return `reader.Read(${target})`;
}

function codecText(name: string, fields: Fields): string {
  const reads = Object.entries(fields).map(([field, type]) => {
    const { item, shape } = itemOf(type);
    const target = `&message->${snakeCase(field)}`;
    if (shape === 'one') return decodeItem(item, target);
    if (shape === 'optional')
      return `ReadOptional(reader, ${target},\n                      [&](auto* item) { return ${decodeItem(item, 'item')}; })`;
    return `ReadList(reader, ${minimumBytes(item)}, ${target},\n                  [&](auto* item) { return ${decodeItem(item, 'item')}; })`;
  });
  const writes = Object.entries(fields).map(([field, type]) => {
    const { item, shape } = itemOf(type);
    const value = `message.${snakeCase(field)}`;
    const write = (target: string): string => {
      if (isEnum(item)) return `writer.Write(static_cast<uint8_t>(${target}))`;
      return isStruct(item) || isVariant(item) ? `Encode(writer, ${target})` : `writer.Write(${target})`;
    };
    if (shape === 'one') return `  ${write(value)};\n`;
    if (shape === 'optional')
      return `  writer.Write(${value}.has_value());\n  if (${value}.has_value()) ${write(`*${value}`)};\n`;
    return `  writer.WriteCount(${value}.size());\n  for (const auto& item : ${value}) ${write('item')};\n`;
  });
  if (reads.length === 0)
    return `bool Decode(ByteReader&, ${name}*) { return true; }\n\nvoid Encode(ByteWriter&, const ${name}&) {}\n`;
  return (
    `bool Decode(ByteReader& reader, ${name}* message) {\n  return ${reads.join(' &&\n         ')};\n}\n\n` +
    `void Encode(ByteWriter& writer, const ${name}& message) {\n${writes.join('')}}\n`
  );
}

/** The decoder of one of several structures, by its index. */
function choiceText(union: string, names: readonly string[]): string {
  const cases = names.map(
    (name) => `    case ${name}::kKind:\n      return Decode(reader, &message->emplace<${name}>());\n`,
  );
  return (
    `bool Decode(ByteReader& reader, ${union}* message) {\n  uint8_t kind = 0;\n  if (!reader.Read(&kind)) return false;\n  switch (kind) {\n` +
    `${cases.join('')}    default:\n      return false;\n  }\n}\n`
  );
}

function variantText(name: string, cases: Messages): string {
  return (
    `${Object.entries(cases)
      .map(([one, fields]) => codecText(one, fields))
      .join('\n')}\n${choiceText(name, Object.keys(cases))}\n` +
    `void Encode(ByteWriter& writer, const ${name}& message) {\n  writer.Write(static_cast<uint8_t>(message.index()));\n` +
    `  std::visit([&](const auto& one) { Encode(writer, one); }, message);\n}\n`
  );
}

function batchText(union: string, names: readonly string[]): string {
  return (
    `${choiceText(union, names)}\n` +
    `bool DecodeBatch(std::span<const uint8_t> bytes, std::vector<${union}>* messages) {\n` +
    `  ByteReader reader(bytes);\n  return ReadList(reader, 1, messages, [&](auto* item) { return Decode(reader, item); }) &&\n         reader.AtEnd();\n}\n`
  );
}

function headerText(): string {
  const messages = Object.values(unions).flatMap((union) =>
    Object.entries(union).map(([name, fields], kind) => structText(name, fields, kind)),
  );
  const aliases = Object.entries(unions).map(
    ([union, members]) => `using ${union} = std::variant<${Object.keys(members).join(', ')}>;\n`,
  );
  const verbs = { ...verbArguments, ...verbResults };
  const cases = Object.values(variants).flatMap((one) =>
    Object.entries(one).map(([name, fields], kind) => structText(name, fields, kind)),
  );
  const choices = Object.entries(variants).map(
    ([name, one]) => `using ${name} = std::variant<${Object.keys(one).join(', ')}>;\n`,
  );
  const names = [
    ...Object.keys(structs),
    ...Object.entries(variants).flatMap(([name, one]) => [...Object.keys(one), name]),
    ...Object.keys(verbs),
    ...Object.values(unions).flatMap((union) => Object.keys(union)),
  ];
  const codecs = names.map(
    (name) =>
      `bool Decode(ByteReader& reader, ${name}* message);\nvoid Encode(ByteWriter& writer, const ${name}& message);\n`,
  );
  const batches = Object.keys(unions).map(
    (union) =>
      `bool Decode(ByteReader& reader, ${union}* message);\nbool DecodeBatch(std::span<const uint8_t> bytes, std::vector<${union}>* messages);\n`,
  );
  const parts = Object.keys(unions.Snapshot).map((name, index) => `constexpr uint8_t kPart${name}s = ${1 << index};\n`);
  return [
    `${generatedHeader('src/engine/port.schema.ts')}// clang-format off
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/error_code.gen.h"

namespace groundwire::msg {

/// Both sides carry it: an addon built from another schema is refused.
inline constexpr std::string_view kSchemaHash = "${schemaHash()}";
`,
    ...Object.entries(enums).map(([name, values]) => enumText(name, values)),
    ...Object.entries(structs).map(([name, fields]) => structText(name, fields, undefined)),
    ...cases,
    ...choices,
    ...Object.entries(verbs).map(([name, fields]) => structText(name, fields, undefined)),
    ...messages,
    ...aliases,
    `/// Bits of the mask of Engine::ReadSnapshot.\n${parts.join('')}`,
    `// Decode returns false on anything that is not exactly a message (short input, a value out of range, an impossible\n// count); what it filled in by then is of no use. DecodeBatch also wants every byte used.\n${codecs.join('')}${batches.join('')}`,
    `/// Of a value that crosses on its own: every byte must be used.
template <typename T>
bool DecodeWhole(std::span<const uint8_t> bytes, T* value) {
  ByteReader reader(bytes);
  return Decode(reader, value) && reader.AtEnd();
}
`,
    `/// One message of a union, as BatchWriter::Add writes it.
template <typename T>
std::vector<uint8_t> Pack(const T& message) {
  std::vector<uint8_t> packed;
  packed.reserve(sizeof message);
  ByteWriter writer(&packed);
  writer.Write(T::kKind);
  Encode(writer, message);
  return packed;
}

/// Packs messages of one union behind their count, which is right after each Add.
class BatchWriter {
 public:
  explicit BatchWriter(std::vector<uint8_t>* out) : start_(out->size()), out_(out), writer_(out) {
    writer_.Write(uint32_t{0});
  }
  template <typename T>
  void Add(const T& message) {
    writer_.Write(T::kKind);
    Encode(writer_, message);
    writer_.PatchCount(start_, ++count_);
  }
  /// One of Pack's.
  void AddPacked(const std::vector<uint8_t>& message) {
    out_->insert(out_->end(), message.begin(), message.end());
    writer_.PatchCount(start_, ++count_);
  }
  /// All of another batch of the same union.
  void AddAll(const BatchWriter& other) {
    const auto from = other.out_->begin() + static_cast<std::ptrdiff_t>(other.start_ + sizeof count_);
    out_->insert(out_->end(), from, other.out_->end());
    count_ += other.count_;
    writer_.PatchCount(start_, count_);
  }
  uint32_t count() const { return count_; }
  size_t size() const { return out_->size() - start_; }

 private:
  size_t start_;
  std::vector<uint8_t>* out_;
  ByteWriter writer_;
  uint32_t count_ = 0;
};

}  // namespace groundwire::msg
`,
  ].join('\n');
}

function sourceText(): string {
  const messages = [verbArguments, verbResults, ...Object.values(unions)].flatMap((union) => Object.entries(union));
  return [
    `${generatedHeader('src/engine/port.schema.ts')}// clang-format off
#include "port/messages.gen.h"

#include <iterator>

namespace groundwire::msg {
namespace {

template <typename E>
bool ReadEnum(ByteReader& reader, size_t values, E* out) {
  uint8_t index = 0;
  if (!reader.Read(&index) || index >= values) return false;
  *out = static_cast<E>(index);
  return true;
}

// The count is held against the bytes that are left before anything is allocated for it.
template <typename T, typename ReadItem>
bool ReadList(ByteReader& reader, size_t item_bytes_min, std::vector<T>* out, ReadItem read_item) {
  uint32_t count = 0;
  if (!reader.Read(&count) || count > reader.remaining() / item_bytes_min) return false;
  out->clear();
  for (uint32_t i = 0; i < count; ++i) {
    if (!read_item(&out->emplace_back())) return false;
  }
  return true;
}

template <typename T, typename ReadValue>
bool ReadOptional(ByteReader& reader, std::optional<T>* out, ReadValue read_value) {
  bool there = false;
  if (!reader.Read(&there)) return false;
  out->reset();
  return !there || read_value(&out->emplace());
}

}  // namespace
`,
    ...Object.entries(enums).map(([name, values]) => enumNames(name, values)),
    ...Object.entries(structs).map(([name, fields]) => codecText(name, fields)),
    ...Object.entries(variants).map(([name, one]) => variantText(name, one)),
    ...messages.map(([name, fields]) => codecText(name, fields)),
    ...Object.entries(unions).map(([union, members]) => batchText(union, Object.keys(members))),
    '}  // namespace groundwire::msg\n',
  ].join('\n');
}

/** `native/core/port/messages.gen.{h,cc}`: the same messages for the engine, with bounds-checked decoders. */
export function generateMessagesCc(): GeneratedFile[] {
  return [
    { path: 'native/core/port/messages.gen.h', content: headerText() },
    { path: 'native/core/port/messages.gen.cc', content: sourceText() },
  ];
}
