// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_counters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>

#include "base/unique_fd.h"
#include "kernel/bpf_pins.h"
#include "mesh_abi.h"

namespace groundwire {
namespace {

constexpr const char* kNames[] = {
#define MESH_COUNTER_NAME(symbol, name) name,
    MESH_COUNTERS(MESH_COUNTER_NAME)
#undef MESH_COUNTER_NAME
};
static_assert(std::size(kNames) == MESH_COUNTERS_COUNT);

/// One value a processor.
Result<std::vector<uint64_t>> MakeValues() {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return Status::Error("count CPUs", -cpus);
  return std::vector<uint64_t>(static_cast<size_t>(cpus));
}

Status Read(int map, uint32_t counter, std::vector<uint64_t>* values) {
  if (bpf_map_lookup_elem(map, &counter, values->data()) == 0) return Status::Ok();
  return Status::Error("read counter", errno, kNames[counter]);
}

}  // namespace

Result<std::vector<std::pair<std::string, uint64_t>>> SumCounters(int map) {
  auto values = MakeValues();
  if (!values.ok()) return values.status();
  std::vector<std::pair<std::string, uint64_t>> sums;
  for (uint32_t i = 0; i < MESH_COUNTERS_COUNT; ++i) {
    if (Status read = Read(map, i, &values.value()); !read.ok()) return read;
    uint64_t sum = 0;
    for (const uint64_t value : values.value()) sum += value;
    sums.emplace_back(kNames[i], sum);
  }
  return sums;
}

Status FitCounters(const std::string& pin) {
  auto old = OpenPin(pin);
  if (!old.ok()) return old.status();
  bpf_map_info info = {};
  uint32_t info_bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(old.value().get(), &info, &info_bytes) != 0) {
    return Status::Error("describe counters", errno, pin);
  }
  if (info.max_entries == MESH_COUNTERS_COUNT) return Status::Ok();
  const UniqueFd fitting(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, MESH_MAP_COUNTERS,
                                        sizeof(uint32_t), sizeof(uint64_t), MESH_COUNTERS_COUNT,
                                        nullptr));
  if (!fitting.valid()) return Status::Error("bpf_map_create", errno, MESH_MAP_COUNTERS);
  auto values = MakeValues();
  if (!values.ok()) return values.status();
  const auto kept = std::min<uint32_t>(info.max_entries, MESH_COUNTERS_COUNT);
  for (uint32_t i = 0; i < kept; ++i) {
    if (Status read = Read(old.value().get(), i, &values.value()); !read.ok()) return read;
    if (bpf_map_update_elem(fitting.get(), &i, values.value().data(), BPF_ANY) != 0) {
      return Status::Error("write counter", errno, kNames[i]);
    }
  }
  // Pinned aside and renamed: an agent that dies in between leaves one or the other.
  const std::string aside = pin + "+new";
  if (Status removed = RemovePins(aside); !removed.ok()) return removed;
  if (Status pinned = PinObject(fitting.get(), aside); !pinned.ok()) return pinned;
  if (rename(aside.c_str(), pin.c_str()) != 0) return Status::Error("rename counters", errno, pin);
  return Status::Ok();
}

}  // namespace groundwire
