// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_check.h"

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <string>

#include "base/unique_fd.h"
#include "capture/capture_gate.h"
#include "kernel/netns.h"

namespace groundwire {
namespace {

/// A namespace that lacks the pod's address is another pod's, or nobody's: its traffic must not get
/// this identity.
Status CheckAddress(int netns_fd, const IpAddress& address) {
  const int family = address.is_v4() ? AF_INET : AF_INET6;
  auto fd = SocketInNetns(netns_fd, family, SOCK_DGRAM);
  if (!fd.ok()) return fd.status();
  sockaddr_storage storage = {};
  const socklen_t length = SocketAddress{address, 0}.ToSockaddr(family, &storage);
  if (bind(fd.value().get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return Status::Error("check pod address", errno,
                         address.ToString() +
                             " is not in the pod's network namespace, or IPv6 duplicate address "
                             "detection has not finished");
  }
  return Status::Ok();
}

}  // namespace

Status CheckPodOptions(const PodCaptureOptions& options) {
  const auto refuse = [&](const std::string& why) {
    return Status::Error("check pod", EINVAL, "pod " + options.uid + ": " + why);
  };
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  if (options.uid.empty() || options.uid.size() >= MESH_UID_BYTES ||
      !std::isalnum(static_cast<unsigned char>(options.uid.front())) ||
      !std::all_of(options.uid.begin(), options.uid.end(), allowed)) {
    return refuse("the uid must be 1 to 63 of letters, digits, '-', '_', '.'");
  }
  if (options.addresses.empty() || options.addresses.size() > MESH_POD_ADDRESSES_MAX) {
    return refuse("it has " + std::to_string(options.addresses.size()) + " addresses, 1 to " +
                  std::to_string(MESH_POD_ADDRESSES_MAX) + " can be captured");
  }
  for (const IpAddress& address : options.addresses) {
    if (address.is_loopback() || address.is_unspecified()) {
      return refuse(address.ToString() + " is not an address of a pod");
    }
  }
  return Status::Ok();
}

Result<mesh_pod> DescribePod(int netns_fd, const PodCaptureOptions& options) {
  auto probe = SocketInNetns(netns_fd, AF_INET, SOCK_DGRAM);
  if (!probe.ok()) return probe.status();
  auto cookie = NetnsCookie(probe.value().get());
  if (!cookie.ok()) return cookie.status();
  UniqueFd here(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto own_cookie = NetnsCookie(here.get());
  if (!own_cookie.ok()) return own_cookie.status();
  if (cookie.value() == own_cookie.value()) {
    return Status::Error("check pod", EINVAL,
                         "pod " + options.uid + " is in the agent's own network namespace");
  }
  mesh_pod pod = {};
  pod.netns_cookie = cookie.value();
  pod.pod = options.pod;
  pod.flags = options.dns ? MESH_POD_DNS : 0;
  for (size_t i = 0; i < options.addresses.size(); ++i) {
    if (Status in = CheckAddress(netns_fd, options.addresses[i]); !in.ok()) return in;
    pod.address[i] = ToMesh(options.addresses[i]);
    pod.flags |= options.addresses[i].is_v4() ? MESH_POD_IPV4 : MESH_POD_IPV6;
  }
  return pod;
}

}  // namespace groundwire
