// SPDX-License-Identifier: Apache-2.0
// The memory of bytes that wait for a reader, within one bound.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/counters.h"
#include "io/event_loop.h"

namespace groundwire {

class KeptMemory;

/// A piece of it; 4 KiB, so that thousands of readers who each leave little do not cost much.
struct KeptBlock {
  static constexpr size_t kBytes = 4096;
  KeptBlock* next;
  uint32_t begin;
  uint32_t end;
  static constexpr size_t kRoom = kBytes - sizeof(next) - sizeof(begin) - sizeof(end);
  uint8_t bytes[kRoom];
};
static_assert(sizeof(KeptBlock) == KeptBlock::kBytes);

/// What one pod's readers leave waiting on one worker: as much as is still free for others, and no
/// more, so a pod whose readers all stand still leaves half of the memory to the rest.
class KeptAccount final : public Discardable {
 public:
  explicit KeptAccount(KeptMemory* memory) : memory_(memory) {}
  ~KeptAccount() override;
  KeptAccount(const KeptAccount&) = delete;
  KeptAccount& operator=(const KeptAccount&) = delete;

  bool HasRoom(size_t blocks) const;
  /// nullptr: the machine has none, or the bound is reached, which is counted.
  KeptBlock* Take();
  void Give(KeptBlock* block);
  size_t used() const { return used_; }

  /// How much one stream's peer may send ahead of the reader: `max`, and less the more of the pod's
  /// part is taken. Slow readers so stop their senders well before the bound stops anybody.
  uint32_t Window(uint32_t max) const;
  /// The same for a stream that has not shown yet that it is read.
  uint32_t FirstWindow(uint32_t max) const;

 private:
  size_t limit() const;

  KeptMemory* const memory_;
  size_t used_ = 0;
};

/// A worker's. Blocks are not malloc's: what is free goes back to the kernel some seconds after it
/// was needed last, a little at a time.
class KeptMemory {
 public:
  /// `max` in bytes, for all pods on this worker.
  KeptMemory(EventLoop* loop, Counters* counters, size_t max)
      : loop_(loop), counters_(counters), max_(max) {}
  ~KeptMemory();
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  /// Lives until Forget.
  KeptAccount* AccountOf(uint32_t pod);
  /// After everything that keeps something for the pod was ended and handed to EventLoop::Discard.
  void Forget(uint32_t pod);
  size_t max() const { return max_; }
  /// Any thread.
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  friend class KeptAccount;

  KeptBlock* Take();
  void Give(KeptBlock* block);
  bool MakeSlab();
  void SetUsed(size_t used) { used_.store(used, std::memory_order_relaxed); }
  void ScheduleTrim(uint64_t delay_ms);
  void Trim();

  EventLoop* const loop_;
  Counters* const counters_;
  const size_t max_;
  std::atomic<size_t> used_{0};
  std::unordered_map<uint32_t, std::unique_ptr<KeptAccount>> accounts_;
  std::vector<void*> slabs_;
  std::vector<KeptBlock*> warm_;  // free, the last used at the end
  std::vector<KeptBlock*> cold_;  // free, and the kernel has their pages
  /// The fewest in warm_ since Trim looked last: so many are not needed.
  size_t unneeded_ = 0;
  EventLoop::TimerId trim_{};
};

}  // namespace groundwire
