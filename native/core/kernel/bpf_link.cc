// SPDX-License-Identifier: Apache-2.0
#include "kernel/bpf_link.h"

#include <bpf/bpf.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "kernel/bpf_pins.h"

namespace groundwire {
namespace {

/// The inode of what a link is attached to (a cgroup's id, a namespace's number); 0 when that is
/// gone.
Result<uint64_t> LinkTarget(int link) {
  bpf_link_info info = {};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(link, &info, &size) != 0) {
    return Status::Error("read link", errno);
  }
  if (info.type == BPF_LINK_TYPE_CGROUP) return uint64_t{info.cgroup.cgroup_id};
  if (info.type == BPF_LINK_TYPE_NETNS) return uint64_t{info.netns.netns_ino};
  return uint64_t{0};
}

uint64_t InodeOf(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

Result<UniqueFd> Attach(int program, int target, int attach_type, const std::string& pin,
                        const char* op) {
  auto pinned = OpenPin(pin);
  if (!pinned.ok() && pinned.status().errno_value != ENOENT) return pinned.status();
  if (pinned.ok()) {
    const auto attached = LinkTarget(pinned.value().get());
    if (!attached.ok()) return attached.status();
    if (attached.value() == InodeOf(target)) {
      if (bpf_link_update(pinned.value().get(), program, nullptr) != 0) {
        return Status::Error("bpf_link_update", errno, pin);
      }
      return std::move(pinned.value());
    }
  }
  UniqueFd link(
      bpf_link_create(program, target, static_cast<bpf_attach_type>(attach_type), nullptr));
  if (!link.valid()) return Status::Error(op, errno, pin);
  if (Status removed = RemovePins(pin); !removed.ok()) return removed;
  if (Status made = PinObject(link.get(), pin); !made.ok()) return made;
  return link;
}

}  // namespace

Result<UniqueFd> AttachToCgroup(int program, int cgroup_fd, int attach_type,
                                const std::string& pin) {
  return Attach(program, cgroup_fd, attach_type, pin, "bpf_link_create cgroup");
}

Result<UniqueFd> AttachToNetns(int program, int netns_fd, int attach_type, const std::string& pin) {
  return Attach(program, netns_fd, attach_type, pin, "bpf_link_create netns");
}

Result<bool> IsLinkAlive(int link) {
  const auto target = LinkTarget(link);
  if (!target.ok()) return target.status();
  return target.value() != 0;
}

}  // namespace groundwire
