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

// Linux 6.6; older headers lack the names.
constexpr uint32_t kLinkTypeTcx = 11;
constexpr int kAttachTcxIngress = 46;
constexpr int kAttachTcxEgress = 47;
constexpr uint32_t kAttachFirst = 1u << 3;  // BPF_F_BEFORE, relative to nothing

/// What a link is attached to (a cgroup's id, a namespace's number, a device's index); 0 when that
/// is gone.
Result<uint64_t> LinkTarget(int link) {
  bpf_link_info info = {};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(link, &info, &size) != 0) {
    return Status::Error("read link", errno);
  }
  if (info.type == BPF_LINK_TYPE_CGROUP) return uint64_t{info.cgroup.cgroup_id};
  if (info.type == BPF_LINK_TYPE_NETNS) return uint64_t{info.netns.netns_ino};
  // As of XDP, the index is all that comes first.
  if (info.type == kLinkTypeTcx) return uint64_t{info.xdp.ifindex};
  return uint64_t{0};
}

uint64_t InodeOf(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

struct Target {
  int handle = -1;     // a descriptor, or a device's index
  uint64_t known = 0;  // as LinkTarget says it
  int attach_type = 0;
  uint32_t flags = 0;
};

Result<UniqueFd> Attach(int program, const Target& target, const std::string& pin, const char* op) {
  auto pinned = OpenPin(pin);
  if (!pinned.ok() && pinned.status().errno_value != ENOENT) return pinned.status();
  if (pinned.ok()) {
    const auto attached = LinkTarget(pinned.value().get());
    if (!attached.ok()) return attached.status();
    if (attached.value() == target.known) {
      if (bpf_link_update(pinned.value().get(), program, nullptr) != 0) {
        return Status::Error("bpf_link_update", errno, pin);
      }
      return std::move(pinned.value());
    }
  }
  bpf_link_create_opts options = {};
  options.sz = sizeof options;
  options.flags = target.flags;
  UniqueFd link(bpf_link_create(program, target.handle,
                                static_cast<bpf_attach_type>(target.attach_type), &options));
  if (!link.valid()) return Status::Error(op, errno, pin);
  if (Status removed = RemovePins(pin); !removed.ok()) return removed;
  if (Status made = PinObject(link.get(), pin); !made.ok()) return made;
  return link;
}

}  // namespace

Result<UniqueFd> AttachToCgroup(int program, int cgroup_fd, int attach_type,
                                const std::string& pin) {
  return Attach(program, {cgroup_fd, InodeOf(cgroup_fd), attach_type}, pin,
                "bpf_link_create cgroup");
}

Result<UniqueFd> AttachToNetns(int program, int netns_fd, int attach_type, const std::string& pin) {
  return Attach(program, {netns_fd, InodeOf(netns_fd), attach_type}, pin, "bpf_link_create netns");
}

Result<UniqueFd> AttachToDevice(int program, uint32_t ifindex, DeviceHook hook,
                                const std::string& pin) {
  const int attach_type = hook == DeviceHook::kIngress ? kAttachTcxIngress : kAttachTcxEgress;
  return Attach(program, {static_cast<int>(ifindex), ifindex, attach_type, kAttachFirst}, pin,
                "bpf_link_create tcx");
}

Status TryAttachToDevice(int program) {
  constexpr int kLoopback = 1;
  UniqueFd link(bpf_link_create(program, kLoopback, static_cast<bpf_attach_type>(kAttachTcxIngress),
                                nullptr));
  return link.valid() ? Status::Ok() : Status::Error("bpf_link_create tcx", errno);
}

Result<bool> IsLinkAlive(int link) {
  const auto target = LinkTarget(link);
  if (!target.ok()) return target.status();
  return target.value() != 0;
}

}  // namespace groundwire
