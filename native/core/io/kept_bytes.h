// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/kept_memory.h"

namespace groundwire {

/// Bytes that wait for a reader, first in, first out. Empty, it owns no memory.
class KeptBytes {
 public:
  /// `account` pays, and outlives it.
  explicit KeptBytes(KeptAccount* account) : account_(account) {}
  ~KeptBytes() { Clear(); }
  KeptBytes(const KeptBytes&) = delete;
  KeptBytes& operator=(const KeptBytes&) = delete;

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  /// All of it or nothing; false: the account has no room.
  bool Append(const uint8_t* data, size_t size);
  /// The first bytes, in as many of `parts` as there are. Returns how many.
  size_t Gather(std::span<iovec> parts) const;
  void Drop(size_t size);
  /// Returns how many.
  size_t Take(uint8_t* buffer, size_t size);
  void Clear() { Drop(size_); }

 private:
  KeptAccount* const account_;
  KeptBlock* first_ = nullptr;
  KeptBlock* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace groundwire
