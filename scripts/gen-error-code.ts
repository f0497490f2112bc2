// SPDX-License-Identifier: Apache-2.0
import { ERROR_TABLE } from '../src/model/errors.ts';
import { type GeneratedFile, generatedHeader } from './generated-file.ts';
import { constantName } from './message-schema.ts';

/** `native/core/base/error_code.gen.{h,cc}`: the numbers of the error table, their names, HBONE statuses and weight. */
export function generateErrorCode(): GeneratedFile[] {
  const rows = Object.entries(ERROR_TABLE);
  const constants = rows.map(([name, entry]) => `  ${constantName(name)} = ${entry.number},\n`).join('');
  const table = rows
    .map(
      ([name, entry]) =>
        `    {ErrorCode::${constantName(name)}, "${name}", ${entry.connectStatus}, ${entry.responseFlag !== '-'}},\n`,
    )
    .join('');
  const header = `${generatedHeader('src/model/errors.ts')}// clang-format off
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace groundwire {

/// Why a connection ended or was refused; kNone: in the ordinary way.
enum class ErrorCode : uint16_t {
  kNone = 0,
${constants}};

struct ErrorCodeEntry {
  ErrorCode code;
  std::string_view name;
  /// Status that a CONNECT gets where it is refused with this; 0: none can be.
  uint16_t connect_status;
  /// Whether an opened connection that ends with this has failed: it has a response flag.
  bool failure;
};

/// Every entry of the table, without kNone.
std::span<const ErrorCodeEntry> ErrorCodes();
/// "NONE" for kNone, "UNKNOWN" for a number that is not in the table.
std::string_view NameOf(ErrorCode code);
uint16_t ConnectStatusOf(ErrorCode code);
bool IsFailure(ErrorCode code);

}  // namespace groundwire
`;
  const source = `${generatedHeader('src/model/errors.ts')}// clang-format off
#include "base/error_code.gen.h"

namespace groundwire {
namespace {

constexpr ErrorCodeEntry kEntries[] = {
${table}};

const ErrorCodeEntry* Find(uint16_t number) {
  for (const ErrorCodeEntry& entry : kEntries) {
    if (static_cast<uint16_t>(entry.code) == number) return &entry;
  }
  return nullptr;
}

}  // namespace

std::span<const ErrorCodeEntry> ErrorCodes() { return kEntries; }

std::string_view NameOf(ErrorCode code) {
  if (code == ErrorCode::kNone) return "NONE";
  const ErrorCodeEntry* entry = Find(static_cast<uint16_t>(code));
  return entry != nullptr ? entry->name : "UNKNOWN";
}

uint16_t ConnectStatusOf(ErrorCode code) {
  const ErrorCodeEntry* entry = Find(static_cast<uint16_t>(code));
  return entry != nullptr ? entry->connect_status : uint16_t{0};
}

bool IsFailure(ErrorCode code) {
  const ErrorCodeEntry* entry = Find(static_cast<uint16_t>(code));
  return entry != nullptr && entry->failure;
}

}  // namespace groundwire
`;
  return [
    { path: 'native/core/base/error_code.gen.h', content: header },
    { path: 'native/core/base/error_code.gen.cc', content: source },
  ];
}
