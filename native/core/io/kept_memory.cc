// SPDX-License-Identifier: Apache-2.0
#include "io/kept_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace groundwire {
namespace {

constexpr size_t kSlabBlocks = 256;
constexpr size_t kSlabBytes = kSlabBlocks * KeptBlock::kBytes;
// A reader that is slow now was often slow a moment ago.
constexpr uint64_t kTrimAfterMs = 1000;
// 2 MiB at a time, some 0.5 ms: the rest of the worker's connections must not feel it.
constexpr size_t kTrimBlocks = 512;
constexpr uint64_t kTrimPauseMs = 10;

constexpr uint32_t kWindowMinBytes = 16 * 1024;
// What a round trip within a cluster holds, several times over. Streams that are read get more
// within as many round trips as there are doublings.
constexpr uint32_t kFirstWindowMaxBytes = 256 * 1024;
// So many streams that nobody reads yet fit into a worker's memory.
constexpr size_t kFirstWindows = 512;

/// With so many eighths of its part taken a pod's streams have that fraction of their window.
constexpr std::array<uint32_t, 4> kWindowDivisors = {1, 4, 16, 64};

}  // namespace

KeptAccount::~KeptAccount() { memory_->SetUsed(memory_->used() - used_); }

size_t KeptAccount::limit() const {
  const size_t others = memory_->used() - used_;
  return (memory_->max() - std::min(others, memory_->max())) / 2;
}

bool KeptAccount::HasRoom(size_t blocks) const {
  return used_ + blocks * KeptBlock::kBytes <= limit();
}

KeptBlock* KeptAccount::Take() {
  KeptBlock* const block = HasRoom(1) ? memory_->Take() : nullptr;
  if (block == nullptr) {
    memory_->counters_->Add(Counter::kKeptFull);
    return nullptr;
  }
  used_ += KeptBlock::kBytes;
  return block;
}

void KeptAccount::Give(KeptBlock* block) {
  used_ -= KeptBlock::kBytes;
  memory_->Give(block);
}

uint32_t KeptAccount::Window(uint32_t max) const {
  const size_t eighths = used_ * 8 / std::max<size_t>(limit(), 1);
  if (eighths >= kWindowDivisors.size()) return std::min(max, kWindowMinBytes);
  return std::min(max, std::max(max / kWindowDivisors[eighths], kWindowMinBytes));
}

uint32_t KeptAccount::FirstWindow(uint32_t max) const {
  const auto share = static_cast<uint32_t>(
      std::min<size_t>(std::bit_floor(memory_->max() / kFirstWindows), kFirstWindowMaxBytes));
  return std::min(Window(max), std::max(share, kWindowMinBytes));
}

KeptMemory::~KeptMemory() {
  for (void* slab : slabs_) (void)munmap(slab, kSlabBytes);
}

KeptAccount* KeptMemory::AccountOf(uint32_t pod) {
  std::unique_ptr<KeptAccount>& account = accounts_[pod];
  if (!account) account = std::make_unique<KeptAccount>(this);
  return account.get();
}

void KeptMemory::Forget(uint32_t pod) {
  auto node = accounts_.extract(pod);
  if (!node.empty()) loop_->Discard(std::move(node.mapped()));
}

KeptBlock* KeptMemory::Take() {
  if (warm_.empty() && cold_.empty() && !MakeSlab()) return nullptr;
  std::vector<KeptBlock*>& from = warm_.empty() ? cold_ : warm_;
  KeptBlock* const block = from.back();
  from.pop_back();
  unneeded_ = std::min(unneeded_, warm_.size());
  SetUsed(used() + KeptBlock::kBytes);
  block->next = nullptr;
  block->begin = 0;
  block->end = 0;
  return block;
}

void KeptMemory::Give(KeptBlock* block) {
  SetUsed(used() - KeptBlock::kBytes);
  warm_.push_back(block);
  if (trim_ == EventLoop::TimerId{}) ScheduleTrim(kTrimAfterMs);
}

bool KeptMemory::MakeSlab() {
  void* const slab =
      mmap(nullptr, kSlabBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (slab == MAP_FAILED) return false;
  // Pages of 2 MiB would be taken whole and given back in pieces.
  (void)madvise(slab, kSlabBytes, MADV_NOHUGEPAGE);
  slabs_.push_back(slab);
  auto* const blocks = static_cast<KeptBlock*>(slab);
  for (size_t i = 0; i < kSlabBlocks; ++i) cold_.push_back(blocks + i);
  return true;
}

void KeptMemory::ScheduleTrim(uint64_t delay_ms) {
  trim_ = loop_->After(delay_ms, [this] { Trim(); });
}

void KeptMemory::Trim() {
  trim_ = {};
  const size_t count = std::min(unneeded_, kTrimBlocks);
  const auto end = warm_.begin() + static_cast<std::ptrdiff_t>(count);
  for (auto block = warm_.begin(); block != end; ++block) {
    (void)madvise(*block, KeptBlock::kBytes, MADV_DONTNEED);
    cold_.push_back(*block);
  }
  warm_.erase(warm_.begin(), end);
  unneeded_ -= count;
  if (warm_.empty()) return;
  if (unneeded_ > 0) return ScheduleTrim(kTrimPauseMs);
  unneeded_ = warm_.size();
  ScheduleTrim(kTrimAfterMs);
}

}  // namespace groundwire
