// SPDX-License-Identifier: Apache-2.0
// Just enough netlink for rules, routes and sock_diag.
#pragma once
#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace groundwire {

/// A request under construction: header, fixed body, then attributes.
class NetlinkRequest {
 public:
  NetlinkRequest(uint16_t type, uint16_t flags);
  void AppendBody(const void* body, size_t size);
  void AppendAttribute(uint16_t type, const void* value, size_t size);
  void AppendU32(uint16_t type, uint32_t value) { AppendAttribute(type, &value, sizeof value); }
  void AppendU8(uint16_t type, uint8_t value) { AppendAttribute(type, &value, sizeof value); }
  /// The finished bytes; valid until the next append.
  std::span<const uint8_t> Finish();

 private:
  void Append(const void* bytes, size_t size);
  std::vector<uint8_t> bytes_;
};

/// A netlink socket in a pod's namespace. Blocking, with a receive timeout; for the control thread.
class NetlinkSocket {
 public:
  static Result<NetlinkSocket> Open(int netns_fd, int protocol);
  /// Sends and waits for the acknowledgement. The error carries the kernel's errno and `op`.
  Status Request(NetlinkRequest& request, const char* op);
  /// Sends a dump and hands every answer to `visit`.
  Status Dump(NetlinkRequest& request, const char* op,
              const std::function<void(const nlmsghdr&)>& visit);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Send(NetlinkRequest& request, const char* op);
  UniqueFd fd_;
};

}  // namespace groundwire
