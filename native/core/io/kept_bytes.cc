// SPDX-License-Identifier: Apache-2.0
#include "io/kept_bytes.h"

#include <algorithm>
#include <cstring>

namespace groundwire {

bool KeptBytes::Append(const uint8_t* data, size_t size) {
  const size_t room = last_ == nullptr ? 0 : KeptBlock::kRoom - last_->end;
  const size_t blocks = size <= room ? 0 : (size - room + KeptBlock::kRoom - 1) / KeptBlock::kRoom;
  KeptBlock* fresh = nullptr;
  for (size_t i = 0; i < blocks; ++i) {
    KeptBlock* const block = account_->Take();
    if (block == nullptr) {
      while (fresh != nullptr) {
        KeptBlock* const next = fresh->next;
        account_->Give(fresh);
        fresh = next;
      }
      return false;
    }
    block->next = fresh;
    fresh = block;
  }
  size_ += size;
  if (last_ == nullptr)
    first_ = last_ = fresh;
  else
    last_->next = fresh;
  while (size > 0) {
    if (last_->end == KeptBlock::kRoom) last_ = last_->next;
    const size_t count = std::min(size, KeptBlock::kRoom - last_->end);
    std::memcpy(last_->bytes + last_->end, data, count);
    last_->end += static_cast<uint32_t>(count);
    data += count;
    size -= count;
  }
  return true;
}

size_t KeptBytes::Gather(std::span<iovec> parts) const {
  size_t count = 0;
  for (KeptBlock* block = first_; block != nullptr && count < parts.size(); block = block->next)
    parts[count++] = {block->bytes + block->begin, block->end - block->begin};
  return count;
}

void KeptBytes::Drop(size_t size) {
  size_ -= size;
  while (first_ != nullptr) {
    const size_t here = first_->end - first_->begin;
    if (size < here) {
      first_->begin += static_cast<uint32_t>(size);
      return;
    }
    size -= here;
    KeptBlock* const next = first_->next;
    account_->Give(first_);
    first_ = next;
  }
  last_ = nullptr;
}

size_t KeptBytes::Take(uint8_t* buffer, size_t size) {
  const size_t taken = std::min(size, size_);
  size_t copied = 0;
  for (const KeptBlock* block = first_; copied < taken; block = block->next) {
    const size_t count = std::min<size_t>(taken - copied, block->end - block->begin);
    std::memcpy(buffer + copied, block->bytes + block->begin, count);
    copied += count;
  }
  Drop(taken);
  return taken;
}

}  // namespace groundwire
