// SPDX-License-Identifier: Apache-2.0
#include "capture_sweep.h"

#include <bpf/bpf.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "bpf_link.h"
#include "bpf_pins.h"
#include "capture_gate.h"
#include "capture_record.h"
#include "capture_routes.h"
#include "netns.h"

namespace groundwire {
namespace {

bool IsNetnsOf(int netns_fd, const mesh_pod_state& state) {
  auto probe = SocketInNetns(netns_fd, AF_INET, SOCK_DGRAM);
  if (!probe.ok()) return false;
  const auto cookie = NetnsCookie(probe.value().get());
  return cookie.ok() && cookie.value() == state.pod.netns_cookie;
}

/// The namespace of a pod whose path nobody remembers: a named one, or one that a process is in.
/// Invalid when it is gone.
UniqueFd FindNetns(const mesh_pod_state& state) {
  const std::pair<const char*, const char*> places[] = {{"/run/netns", ""}, {"/proc", "/ns/net"}};
  for (const auto& [parent, below] : places) {
    std::error_code error;
    std::filesystem::directory_iterator entry(parent, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      const std::string path = entry->path().string() + below;
      struct stat info = {};
      if (stat(path.c_str(), &info) != 0 || info.st_ino != state.netns_inode) continue;
      auto netns = OpenNetns(path);
      if (netns.ok() && IsNetnsOf(netns.value().get(), state)) return std::move(netns.value());
    }
  }
  return {};
}

/// What a release or a capture that was cut off has left in the pod's namespace, if that lives.
Status UndoLeftOver(const mesh_pod_state& state) {
  const UniqueFd netns = FindNetns(state);
  if (!netns.valid()) return Status::Ok();
  if (Status removed = RemoveRoutes(netns.get(), state.pod); !removed.ok()) return removed;
  return SetSysctls(netns.get(), state.sysctls_changed, false);
}

}  // namespace

size_t SweepPods(const NodeState& node) {
  size_t swept = 0;
  std::set<uint64_t> kept;
  for (const std::string& name : ListPins(node.PodsDirectory())) {
    const std::string directory = node.PodsDirectory() + "/" + name;
    const auto state = ReadPodRecord(directory);
    const auto link = OpenPin(directory + "/" + kLinkSteer);
    const bool finished = name.rfind(kUnfinished, 0) != 0;
    if (finished && state.ok() && link.ok() && IsLinkAlive(link.value().get())) {
      kept.insert(state.value().pod.netns_cookie);
      continue;
    }
    if (state.ok()) {
      (void)CloseGate(node, state.value().pod);
      // The record stays as long as what it records: the next agent tries again.
      if (!UndoLeftOver(state.value()).ok()) continue;
    }
    if (RemovePins(directory).ok()) ++swept;
  }
  std::vector<mesh_pod> stale;
  uint64_t key = 0;
  for (bool first = true; bpf_map_get_next_key(node.pods.get(), first ? nullptr : &key, &key) == 0;
       first = false) {
    mesh_pod pod = {};
    if (!kept.contains(key) && bpf_map_lookup_elem(node.pods.get(), &key, &pod) == 0) {
      stale.push_back(pod);
    }
  }
  for (const mesh_pod& pod : stale) (void)CloseGate(node, pod);
  return swept + stale.size();
}

}  // namespace groundwire
