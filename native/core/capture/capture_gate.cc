// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_gate.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

namespace groundwire {

mesh_address ToMesh(const IpAddress& address) {
  mesh_address mesh = {};
  std::memcpy(&mesh, address.bytes.data(), sizeof mesh);
  return mesh;
}

bool OwnsAddress(const mesh_pod& pod, const mesh_address& address) {
  return std::any_of(std::begin(pod.address), std::end(pod.address), [&](const mesh_address& own) {
    return std::memcmp(&own, &address, sizeof own) == 0;
  });
}

void ForgetAddress(const NodeState& node, const mesh_address& address, uint64_t netns_cookie) {
  uint64_t cookie = 0;
  // Another pod may have the same address by now; its entry stays.
  if (bpf_map_lookup_elem(node.addresses.get(), &address, &cookie) != 0) return;
  if (cookie == netns_cookie) bpf_map_delete_elem(node.addresses.get(), &address);
}

Status OpenGate(const NodeState& node, const mesh_pod& pod) {
  const IpAddress unused;
  for (const mesh_address& address : pod.address) {
    if (std::memcmp(&address, unused.bytes.data(), sizeof address) == 0) continue;
    if (bpf_map_update_elem(node.addresses.get(), &address, &pod.netns_cookie, BPF_ANY) != 0) {
      return Status::Error("bpf_map_update", errno, MESH_MAP_ADDRESSES);
    }
  }
  if (bpf_map_update_elem(node.pods.get(), &pod.netns_cookie, &pod, BPF_ANY) != 0) {
    return Status::Error(
        "bpf_map_update", errno,
        std::string(MESH_MAP_PODS) + ", at most " + std::to_string(MESH_PODS_MAX) + " pods a node");
  }
  return Status::Ok();
}

Result<std::vector<std::string>> RepairGate(const NodeState& node, const mesh_pod& pod) {
  mesh_pod there = {};
  bool open = bpf_map_lookup_elem(node.pods.get(), &pod.netns_cookie, &there) == 0 &&
              std::memcmp(&there, &pod, sizeof pod) == 0;
  const IpAddress unused;
  for (const mesh_address& address : pod.address) {
    if (std::memcmp(&address, unused.bytes.data(), sizeof address) == 0) continue;
    uint64_t cookie = 0;
    // Another pod may have the same address by now.
    open = open && bpf_map_lookup_elem(node.addresses.get(), &address, &cookie) == 0;
  }
  if (open) return std::vector<std::string>();
  if (Status opened = OpenGate(node, pod); !opened.ok()) return opened;
  return std::vector<std::string>{"map entries"};
}

Status CloseGate(const NodeState& node, const mesh_pod& pod) {
  if (bpf_map_delete_elem(node.pods.get(), &pod.netns_cookie) != 0 && errno != ENOENT) {
    return Status::Error("bpf_map_delete", errno, MESH_MAP_PODS);
  }
  for (const mesh_address& address : pod.address) ForgetAddress(node, address, pod.netns_cookie);
  return Status::Ok();
}

}  // namespace groundwire
