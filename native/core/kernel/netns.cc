// SPDX-License-Identifier: Apache-2.0
#include "kernel/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#ifndef SO_NETNS_COOKIE  // Linux 5.14; older headers lack the name.
#define SO_NETNS_COOKIE 71
#endif

namespace groundwire {
namespace {

/// The namespace the process was started in. Opened on the first switch, which every thread makes
/// from home.
int HomeNetns() {
  static const int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  return home;
}

}  // namespace

namespace netns_internal {

Status Enter(int netns_fd) {
  if (HomeNetns() < 0) {
    return Status::Error("open /proc/thread-self/ns/net", ENOENT, "is /proc mounted?");
  }
  if (setns(netns_fd, CLONE_NEWNET) != 0) return Status::Error("setns", errno);
  return Status::Ok();
}

void LeaveOrAbort() {
  const int saved = errno;
  if (setns(HomeNetns(), CLONE_NEWNET) != 0) {
    std::perror("groundwire: cannot return from a pod's network namespace: setns");
    std::abort();
  }
  errno = saved;
}

}  // namespace netns_internal

Result<UniqueFd> OpenNetns(const std::string& path) {
  UniqueFd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns.valid()) return Status::Error("open network namespace", errno, path);
  return netns;
}

Result<uint64_t> NetnsCookie(int socket) {
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) {
    return Status::Error("getsockopt SO_NETNS_COOKIE", errno);
  }
  return cookie;
}

Result<UniqueFd> SocketInNetns(int netns_fd, int family, int type, int protocol) {
  return InNetns(netns_fd, [&]() -> Result<UniqueFd> {
    UniqueFd made(socket(family, type | SOCK_CLOEXEC, protocol));
    if (!made.valid()) return Status::Error("socket", errno);
    return made;
  });
}

}  // namespace groundwire
