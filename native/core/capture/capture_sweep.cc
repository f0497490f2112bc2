// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_sweep.h"

#include <bpf/bpf.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "capture/capture_gate.h"
#include "capture/capture_record.h"
#include "capture/capture_routes.h"
#include "kernel/bpf_link.h"
#include "kernel/bpf_pins.h"
#include "kernel/netns.h"

namespace groundwire {
namespace {

bool IsAbsent(const Status& status) { return status.errno_value == ENOENT; }

Result<bool> IsNetnsOf(int netns_fd, const mesh_pod_state& state) {
  auto probe = SocketInNetns(netns_fd, AF_INET, SOCK_DGRAM);
  if (!probe.ok()) return probe.status();
  const auto cookie = NetnsCookie(probe.value().get());
  if (!cookie.ok()) return cookie.status();
  return cookie.value() == state.pod.netns_cookie;
}

/// The namespace of a pod whose path nobody remembers: a named one, or one that a process is in.
/// Invalid when it is gone; a failure when it may be one that could not be looked at.
Result<UniqueFd> FindNetns(const mesh_pod_state& state) {
  const std::pair<const char*, const char*> places[] = {{"/run/netns", ""}, {"/proc", "/ns/net"}};
  Status failed = Status::Ok();
  for (const auto& [parent, below] : places) {
    std::error_code error;
    std::filesystem::directory_iterator entry(parent, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      const std::string path = entry->path().string() + below;
      struct stat info = {};
      // One that cannot be looked at has just gone, as a rule; where it has not, /proc has others.
      if (stat(path.c_str(), &info) != 0 || info.st_ino != state.netns_inode) continue;
      auto netns = OpenNetns(path);
      const auto same = netns.ok() ? IsNetnsOf(netns.value().get(), state) : netns.status();
      if (!same.ok()) failed = same.status();
      if (same.ok() && same.value()) return std::move(netns.value());
    }
    if (error && error != std::errc::no_such_file_or_directory) {
      failed = Status::Error("list namespaces", error.value(), parent);
    }
  }
  if (!failed.ok()) return failed;
  return UniqueFd();
}

/// What a release or a capture that was cut off has left in the pod's namespace, if that lives.
Status UndoLeftOver(const mesh_pod_state& state) {
  const auto netns = FindNetns(state);
  if (!netns.ok()) return netns.status();
  const int fd = netns.value().get();
  if (fd < 0) return Status::Ok();
  if (Status removed = RemoveRoutes(fd, state.pod); !removed.ok()) return removed;
  return SetSysctls(fd, state.sysctls_changed, false);
}

enum class Find { kCaptured, kLeftOver, kUnreadable };

/// Tells a pod that is captured from what is left of one. Only "not there" is an absence: with no
/// descriptor or memory left, a pod that lives looks as if it had neither record nor program.
Find Judge(const std::string& name, const std::string& directory,
           const Result<mesh_pod_state>& state) {
  if (!state.ok() && !IsAbsent(state.status())) return Find::kUnreadable;
  if (!state.ok() || name.rfind(kUnfinished, 0) == 0) return Find::kLeftOver;
  const auto link = OpenPin(directory + "/" + kLinkSteer);
  if (!link.ok()) return IsAbsent(link.status()) ? Find::kLeftOver : Find::kUnreadable;
  const auto alive = IsLinkAlive(link.value().get());
  if (!alive.ok()) return Find::kUnreadable;
  return alive.value() ? Find::kCaptured : Find::kLeftOver;
}

/// Entries of no pod that has pins.
void CloseStaleGates(const NodeState& node, const std::set<uint64_t>& kept) {
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
}

}  // namespace

Status SweepPods(NodeState* node) {
  const auto names = ListPins(node->PodsDirectory());
  if (!names.ok()) return names.status();
  std::set<uint64_t> kept;
  bool all_known = true;
  for (const std::string& name : names.value()) {
    const std::string directory = node->PodsDirectory() + "/" + name;
    const auto state = ReadPodRecord(directory);
    const Find find = Judge(name, directory, state);
    if (find == Find::kCaptured) {
      kept.insert(state.value().pod.netns_cookie);
      continue;
    }
    bool done = find == Find::kLeftOver;
    all_known = all_known && done;
    if (done && state.ok()) {
      // The record stays as long as what it records: the next agent tries again.
      done = CloseGate(*node, state.value().pod).ok() && UndoLeftOver(state.value()).ok();
    }
    if (!done || !RemovePins(directory).ok()) ++node->sweep_skipped;
  }
  // A pod that could not be read has a gate that nobody here knows for its own.
  if (all_known) CloseStaleGates(*node, kept);
  return Status::Ok();
}

}  // namespace groundwire
