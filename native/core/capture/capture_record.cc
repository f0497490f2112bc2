// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_record.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/unique_fd.h"
#include "kernel/bpf_pins.h"

namespace groundwire {

Result<mesh_pod_state> ReadPodRecord(const std::string& directory) {
  auto map = OpenPin(directory + "/" + MESH_MAP_POD_STATE);
  if (!map.ok()) return map.status();
  const uint32_t key = 0;
  mesh_pod_state state = {};
  if (bpf_map_lookup_elem(map.value().get(), &key, &state) != 0) {
    return Status::Error("read pod state", errno, directory);
  }
  return state;
}

Status WritePodRecord(const std::string& directory, const mesh_pod_state& state) {
  auto map = OpenPin(directory + "/" + MESH_MAP_POD_STATE);
  if (!map.ok() && map.status().errno_value == ENOENT) {
    UniqueFd made(bpf_map_create(BPF_MAP_TYPE_ARRAY, MESH_MAP_POD_STATE, sizeof(uint32_t),
                                 sizeof state, 1, nullptr));
    if (!made.valid()) return Status::Error("bpf_map_create", errno, MESH_MAP_POD_STATE);
    if (Status pinned = PinObject(made.get(), directory + "/" + MESH_MAP_POD_STATE); !pinned.ok()) {
      return pinned;
    }
    map = std::move(made);
  }
  if (!map.ok()) return map.status();
  const uint32_t key = 0;
  if (bpf_map_update_elem(map.value().get(), &key, &state, BPF_ANY) != 0) {
    return Status::Error("write pod state", errno, directory);
  }
  return Status::Ok();
}

}  // namespace groundwire
