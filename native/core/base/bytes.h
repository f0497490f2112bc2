// SPDX-License-Identifier: Apache-2.0
// Little-endian bytes of the boundary's messages. The reader trusts nothing: each Read says whether
// the bytes were there.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/address.h"

namespace groundwire {

/// An integer of the wire; bool has its own overload, because not every byte is one.
template <typename T>
concept WireInteger = std::integral<T> && !std::same_as<T, bool>;

/// Reads from bytes it does not own. After a Read that returned false, `out` is unspecified and
/// reading on is pointless.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : rest_(bytes) {}

  size_t remaining() const { return rest_.size(); }
  bool AtEnd() const { return rest_.empty(); }

  template <WireInteger T>
  bool Read(T* out) {
    using Unsigned = std::make_unsigned_t<T>;
    std::span<const uint8_t> bytes;
    if (!Take(sizeof(T), &bytes)) return false;
    uint64_t value = 0;
    for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | bytes[i];
    *out = static_cast<T>(static_cast<Unsigned>(value));
    return true;
  }
  bool Read(bool* out) {
    uint8_t value = 0;
    if (!Read(&value) || value > 1) return false;
    *out = value == 1;
    return true;
  }
  bool Read(std::string* out) {
    std::span<const uint8_t> bytes;
    if (!TakeCounted(&bytes)) return false;
    out->assign(bytes.begin(), bytes.end());
    return true;
  }
  bool Read(std::vector<uint8_t>* out) {
    std::span<const uint8_t> bytes;
    if (!TakeCounted(&bytes)) return false;
    out->assign(bytes.begin(), bytes.end());
    return true;
  }
  bool Read(IpAddress* out) {
    std::span<const uint8_t> bytes;
    if (!Take(out->bytes.size(), &bytes)) return false;
    std::copy(bytes.begin(), bytes.end(), out->bytes.begin());
    return true;
  }
  bool Read(SocketAddress* out) { return Read(&out->ip) && Read(&out->port); }

 private:
  bool Take(size_t count, std::span<const uint8_t>* out) {
    if (count > rest_.size()) return false;
    *out = rest_.first(count);
    rest_ = rest_.subspan(count);
    return true;
  }
  bool TakeCounted(std::span<const uint8_t>* out) {
    uint32_t count = 0;
    return Read(&count) && Take(count, out);
  }

  std::span<const uint8_t> rest_;
};

/// Appends to a vector it does not own.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<uint8_t>* out) : out_(out) {}

  template <WireInteger T>
  void Write(T value) {
    auto rest = static_cast<std::make_unsigned_t<T>>(value);
    for (size_t i = 0; i < sizeof(T); ++i) {
      out_->push_back(static_cast<uint8_t>(static_cast<uint64_t>(rest) >> (8 * i)));
    }
  }
  void Write(bool value) { out_->push_back(value ? 1 : 0); }
  void Write(const std::string& value) { WriteCounted(value); }
  void Write(const std::vector<uint8_t>& value) { WriteCounted(value); }
  void Write(const IpAddress& value) {
    out_->insert(out_->end(), value.bytes.begin(), value.bytes.end());
  }
  void Write(const SocketAddress& value) {
    Write(value.ip);
    Write(value.port);
  }
  void WriteCount(size_t count) { Write(static_cast<uint32_t>(count)); }
  /// Overwrites the count that was written at `offset` of the vector.
  void PatchCount(size_t offset, uint32_t count) {
    for (size_t i = 0; i < sizeof count; ++i) {
      (*out_)[offset + i] = static_cast<uint8_t>(count >> (8 * i));
    }
  }

 private:
  template <typename Bytes>
  void WriteCounted(const Bytes& value) {
    WriteCount(value.size());
    out_->insert(out_->end(), value.begin(), value.end());
  }

  std::vector<uint8_t>* out_;
};

}  // namespace groundwire
