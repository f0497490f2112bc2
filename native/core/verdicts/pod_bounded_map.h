// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

namespace groundwire {

/// A map by keys that have a pod. When full it forgets the oldest entry of the pod that has more than
/// its share, so that one pod's many destinations are forgotten for each other and not for those of
/// everybody. Oldest, not least used: a decision in use costs one question to get back.
template <typename Key, typename Value, typename Hash>
class PodBoundedMap {
 public:
  struct Entry {
    Key key;
    Value value;
  };

  explicit PodBoundedMap(size_t max) : max_(max) {}

  /// An entry stays where it is until it is erased or forgotten.
  const Entry* Find(const Key& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &*found->second;
  }
  /// Of a key that is not there. `*evicted` is the entry that had to be forgotten for it, if any.
  const Entry& Put(const Key& key, Value value, std::optional<Entry>* evicted) {
    if (entries_.size() >= max_) *evicted = MakeRoomFor(key.pod);
    std::list<Entry>& of_pod = pods_[key.pod];
    of_pod.push_back(Entry{key, std::move(value)});
    entries_.emplace(key, std::prev(of_pod.end()));
    return of_pod.back();
  }
  void Erase(const Key& key) {
    auto node = entries_.extract(key);
    if (node.empty()) return;
    const auto pod = pods_.find(key.pod);
    pod->second.erase(node.mapped());
    if (pod->second.empty()) pods_.erase(pod);
  }
  /// The pod's entries, which are no longer here.
  std::list<Entry> TakePod(uint32_t pod) {
    auto node = pods_.extract(pod);
    if (node.empty()) return {};
    for (const Entry& entry : node.mapped()) entries_.erase(entry.key);
    return std::move(node.mapped());
  }
  size_t size() const { return entries_.size(); }

 private:
  Entry MakeRoomFor(uint32_t pod) {
    auto from = pods_.find(pod);
    // Somebody has more than the pod that is within its share; that pod seldom asks.
    if (from == pods_.end() || from->second.size() * pods_.size() <= max_) {
      from = std::max_element(pods_.begin(), pods_.end(), [](const auto& a, const auto& b) {
        return a.second.size() < b.second.size();
      });
    }
    Entry evicted = std::move(from->second.front());
    entries_.erase(evicted.key);
    from->second.pop_front();
    if (from->second.empty()) pods_.erase(from);
    return evicted;
  }

  const size_t max_;
  std::unordered_map<uint32_t, std::list<Entry>> pods_;  // the oldest first; none is empty
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> entries_;
};

}  // namespace groundwire
