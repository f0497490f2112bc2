// SPDX-License-Identifier: Apache-2.0
// Answers of TypeScript, kept for every connection they fit. One cache a worker, so a lookup takes
// no lock.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "port/messages.gen.h"

namespace groundwire {

using OutboundVerdict = std::shared_ptr<const msg::OutboundAnswer>;
using InboundVerdict = std::shared_ptr<const msg::InboundAnswer>;

/// What an outbound decision depends on.
struct OutboundKey {
  uint32_t pod = 0;
  SocketAddress original_dst;
  bool operator==(const OutboundKey&) const = default;
};

/// What an inbound decision may depend on. In the cache, the fields that were not consulted are
/// blank.
struct InboundKey {
  uint32_t pod = 0;
  msg::Security security{};
  std::string identity;
  IpAddress source;
  uint16_t port = 0;
  std::string authority;
  bool operator==(const InboundKey&) const = default;
  /// With only the fields of `consulted` (bits of msg::ConsultedField) kept.
  InboundKey Masked(uint8_t consulted) const;
};

struct VerdictKeyHash {
  size_t operator()(const OutboundKey& key) const;
  size_t operator()(const InboundKey& key) const;
};

/// Where an allowed connection is delivered. An answer that did not look at the port holds for all
/// of them, so then it is the connection's own; a hostname authority names a service, whose target
/// port only the answer knows.
uint16_t DeliverPortOf(const msg::InboundAnswer& answer, uint16_t destination_port,
                       const std::string& authority);

/// A map by keys that have a pod. When full it forgets the oldest entry of the pod that has more than
/// its share, so that one pod's many destinations are forgotten for each other and not for those of
/// everybody. Oldest, not least used: a decision in use costs one question to get back.
template <typename Key, typename Value>
class BoundedMap {
 public:
  explicit BoundedMap(size_t max) : max_(max) {}

  const Value* Find(const Key& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second->value;
  }
  /// The number of entries it had to forget for that: 0 or 1.
  size_t Put(const Key& key, Value value) {
    if (const auto found = entries_.find(key); found != entries_.end()) {
      found->second->value = std::move(value);
      return 0;
    }
    const bool full = entries_.size() >= max_;
    if (full) MakeRoomFor(key.pod);
    std::list<Entry>& of_pod = pods_[key.pod];
    of_pod.push_back(Entry{key, std::move(value)});
    entries_.emplace(key, std::prev(of_pod.end()));
    return full ? 1 : 0;
  }
  template <typename Predicate>
  size_t EraseIf(Predicate predicate) {
    size_t erased = 0;
    for (auto pod = pods_.begin(); pod != pods_.end();) {
      erased += pod->second.remove_if([&](const Entry& entry) {
        if (!predicate(entry.value)) return false;
        entries_.erase(entry.key);
        return true;
      });
      pod = pod->second.empty() ? pods_.erase(pod) : std::next(pod);
    }
    return erased;
  }
  void ErasePod(uint32_t pod) {
    const auto found = pods_.find(pod);
    if (found == pods_.end()) return;
    for (const Entry& entry : found->second) entries_.erase(entry.key);
    pods_.erase(found);
  }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Key key;
    Value value;
  };

  void MakeRoomFor(uint32_t pod) {
    auto from = pods_.find(pod);
    // Somebody has more than the pod that is within its share; that pod seldom asks.
    if (from == pods_.end() || from->second.size() * pods_.size() <= max_) {
      from = std::max_element(pods_.begin(), pods_.end(), [](const auto& a, const auto& b) {
        return a.second.size() < b.second.size();
      });
    }
    entries_.erase(from->second.front().key);
    from->second.pop_front();
    if (from->second.empty()) pods_.erase(from);
  }

  const size_t max_;
  std::unordered_map<uint32_t, std::list<Entry>> pods_;  // the oldest first; none is empty
  std::unordered_map<Key, typename std::list<Entry>::iterator, VerdictKeyHash> entries_;
};

class VerdictCache {
 public:
  explicit VerdictCache(size_t entries_max) : outbound_(entries_max), inbound_(entries_max) {}

  OutboundVerdict Find(const OutboundKey& key) const;
  /// Tries each mask that is in use for the pod: usually one or two.
  InboundVerdict Find(const InboundKey& key) const;
  /// Both return the number of entries evicted.
  size_t Put(const OutboundKey& key, OutboundVerdict verdict);
  size_t Put(const InboundKey& key, InboundVerdict verdict);
  /// Returns the number of entries forgotten.
  size_t Invalidate(const std::unordered_set<uint64_t>& verdicts);
  void ForgetPod(uint32_t pod);
  size_t size() const { return outbound_.size() + inbound_.size(); }

 private:
  BoundedMap<OutboundKey, OutboundVerdict> outbound_;
  BoundedMap<InboundKey, InboundVerdict> inbound_;
  /// Bit m: some answer for the pod had the consulted mask m.
  std::unordered_map<uint32_t, uint16_t> masks_;
};

}  // namespace groundwire
