// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

#include <cstdint>
#include <optional>
#include <span>

namespace groundwire::binding {

/// The bytes of an argument that is a Uint8Array, valid for the call; nullopt for any other.
inline std::optional<std::span<const uint8_t>> ByteArgument(const Napi::CallbackInfo& info,
                                                            size_t index) {
  if (!info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return std::nullopt;
  }
  const auto bytes = info[index].As<Napi::Uint8Array>();
  return std::span<const uint8_t>(bytes.Data(), bytes.ByteLength());
}

}  // namespace groundwire::binding
