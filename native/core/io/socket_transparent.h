// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <netinet/in.h>

#include <cerrno>

#include "base/status.h"

namespace groundwire {

/// Lets a socket have addresses that are not this host's. Needs CAP_NET_ADMIN in the socket's
/// namespace.
inline Status SetTransparent(int fd, int family) {
  const int on = 1;
  const int failed = family == AF_INET ? setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on)
                                       : setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof on);
  return failed != 0 ? Status::Error("setsockopt IP_TRANSPARENT", errno) : Status::Ok();
}

}  // namespace groundwire
