// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace groundwire {

/// Bytes that wait for a reader, first in, first out. Empty, it owns no memory.
class KeptBytes {
 public:
  bool empty() const { return size() == 0; }
  size_t size() const { return bytes_.size() - offset_; }
  const uint8_t* data() const { return bytes_.data() + offset_; }
  /// The memory behind it.
  size_t capacity() const { return bytes_.capacity(); }

  void Append(const uint8_t* data, size_t size) {
    if (offset_ >= this->size()) {
      // A reader that never catches up never empties this: what it took is dropped once it outweighs
      // what is moved.
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset_));
      offset_ = 0;
    }
    bytes_.insert(bytes_.end(), data, data + size);
  }
  void Drop(size_t size) {
    offset_ += size;
    if (empty()) Clear();
  }
  /// Returns how many.
  size_t Take(uint8_t* buffer, size_t size) {
    const size_t taken = std::min(size, this->size());
    std::copy_n(data(), taken, buffer);
    Drop(taken);
    return taken;
  }
  void Clear() {
    bytes_ = {};
    offset_ = 0;
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t offset_ = 0;
};

}  // namespace groundwire
