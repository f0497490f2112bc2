// SPDX-License-Identifier: Apache-2.0
// The devices of a network namespace, and which of another namespace is at their other end.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "kernel/netlink.h"

namespace groundwire {

struct NetDevice {
  uint32_t ifindex = 0;
  bool is_loopback = false;
  /// The device it stands on or, of a pair, its other end; 0 = none.
  uint32_t other = 0;
  /// Of the namespace that `other` is in, where that is not the device's own.
  std::optional<int32_t> other_netns;
};

/// By index, the smallest first.
Result<std::vector<NetDevice>> ListDevices(NetlinkSocket& netlink);
/// Nothing when there is none of that index.
Result<std::optional<NetDevice>> FindDevice(NetlinkSocket& netlink, uint32_t ifindex);
/// What the socket's namespace calls the other one; nothing when the two share no pair of devices.
Result<std::optional<int32_t>> FindNetnsId(NetlinkSocket& netlink, int netns_fd);

}  // namespace groundwire
