// SPDX-License-Identifier: Apache-2.0
#include "kernel/net_device.h"

#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace groundwire {
namespace {

template <typename Value>
std::optional<Value> ReadAttribute(const rtattr* attribute) {
  Value value = {};
  if (RTA_PAYLOAD(attribute) < sizeof value) return std::nullopt;
  std::memcpy(&value, RTA_DATA(attribute), sizeof value);
  return value;
}

NetDevice ReadDevice(const nlmsghdr& header) {
  const auto* message = static_cast<const ifinfomsg*>(NLMSG_DATA(&header));
  NetDevice device;
  device.ifindex = static_cast<uint32_t>(message->ifi_index);
  device.is_loopback = (message->ifi_flags & IFF_LOOPBACK) != 0;
  const auto* attribute = IFLA_RTA(message);
  auto left = static_cast<int>(header.nlmsg_len - NLMSG_LENGTH(sizeof *message));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == IFLA_LINK) {
      device.other = ReadAttribute<uint32_t>(attribute).value_or(0);
    } else if (attribute->rta_type == IFLA_LINK_NETNSID) {
      device.other_netns = ReadAttribute<int32_t>(attribute);
    }
  }
  return device;
}

}  // namespace

Result<std::vector<NetDevice>> ListDevices(NetlinkSocket& netlink) {
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
  const ifinfomsg body = {};
  request.AppendBody(&body, sizeof body);
  std::vector<NetDevice> devices;
  Status dumped = netlink.Dump(request, "ip link", [&](const nlmsghdr& header) {
    if (header.nlmsg_type == RTM_NEWLINK) devices.push_back(ReadDevice(header));
  });
  if (!dumped.ok()) return dumped;
  std::ranges::sort(devices, {}, &NetDevice::ifindex);
  return devices;
}

Result<std::optional<NetDevice>> FindDevice(NetlinkSocket& netlink, uint32_t ifindex) {
  NetlinkRequest request(RTM_GETLINK, NLM_F_ACK);
  ifinfomsg body = {};
  body.ifi_index = static_cast<int>(ifindex);
  request.AppendBody(&body, sizeof body);
  std::optional<NetDevice> device;
  Status asked = netlink.Dump(request, "ip link show", [&](const nlmsghdr& header) {
    if (header.nlmsg_type == RTM_NEWLINK) device = ReadDevice(header);
  });
  if (!asked.ok() && asked.errno_value != ENODEV) return asked;
  return device;
}

Result<std::optional<int32_t>> FindNetnsId(NetlinkSocket& netlink, int netns_fd) {
  NetlinkRequest request(RTM_GETNSID, NLM_F_ACK);
  const rtgenmsg body = {};
  request.AppendBody(&body, sizeof body);
  request.AppendU32(NETNSA_FD, static_cast<uint32_t>(netns_fd));
  std::optional<int32_t> id;
  Status asked = netlink.Dump(request, "ip netns list-id", [&](const nlmsghdr& header) {
    if (header.nlmsg_type != RTM_NEWNSID) return;
    const auto* attribute = reinterpret_cast<const rtattr*>(
        static_cast<const char*>(NLMSG_DATA(&header)) + NLMSG_ALIGN(sizeof(rtgenmsg)));
    auto left = static_cast<int>(header.nlmsg_len - NLMSG_LENGTH(sizeof(rtgenmsg)));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
      if (attribute->rta_type == NETNSA_NSID) id = ReadAttribute<int32_t>(attribute);
    }
  });
  if (!asked.ok()) return asked;
  if (id && *id < 0) id.reset();  // NETNSA_NSID_NOT_ASSIGNED
  return id;
}

}  // namespace groundwire
