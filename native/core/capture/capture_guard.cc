// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_guard.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "capture/capture_gate.h"
#include "kernel/bpf_link.h"
#include "kernel/bpf_map.h"
#include "kernel/bpf_pins.h"
#include "kernel/net_device.h"
#include "kernel/netns.h"

namespace groundwire {
namespace {

constexpr char kLinkGuard[] = "link_guard_";

/// Where a packet of the pod can be seen last before it is out: a device of the node that it comes
/// in by, or the pod's own that it goes out by.
struct WayOut {
  uint32_t ifindex = 0;
  bool at_node = false;

  std::string Pin(const std::string& pins) const {
    return pins + "/" + kLinkGuard + (at_node ? "node" : "pod") + std::to_string(ifindex);
  }
};

/// The device of this thread's namespace that is the other end of a pod's: each names the other.
/// A device of the pod that only stands on one of the node (macvlan) is no pair.
class NodeEnds {
 public:
  static Result<NodeEnds> Open(int pod_netns) {
    auto home = OpenNetns("/proc/thread-self/ns/net");
    if (!home.ok()) return home.status();
    auto netlink = NetlinkSocket::Open(home.value().get(), NETLINK_ROUTE);
    if (!netlink.ok()) return netlink.status();
    auto pod = FindNetnsId(netlink.value(), pod_netns);
    if (!pod.ok()) return pod.status();
    return NodeEnds(std::move(netlink.value()), pod.value());
  }

  Result<bool> Has(const NetDevice& of_pod) {
    if (!pod_) return false;
    const auto end = FindDevice(netlink_, of_pod.other);
    if (!end.ok()) return end.status();
    return end.value() && end.value()->other == of_pod.ifindex && end.value()->other_netns == pod_;
  }

 private:
  NodeEnds(NetlinkSocket netlink, std::optional<int32_t> pod)
      : netlink_(std::move(netlink)), pod_(pod) {}

  NetlinkSocket netlink_;
  std::optional<int32_t> pod_;  // what this namespace calls the pod's
};

Result<std::vector<WayOut>> FindWaysOut(int netns_fd) {
  auto netlink = NetlinkSocket::Open(netns_fd, NETLINK_ROUTE);
  if (!netlink.ok()) return netlink.status();
  const auto devices = ListDevices(netlink.value());
  if (!devices.ok()) return devices.status();
  auto ends = NodeEnds::Open(netns_fd);
  if (!ends.ok()) return ends.status();
  std::vector<WayOut> ways;
  for (const NetDevice& device : devices.value()) {
    if (device.is_loopback || (device.other != 0 && !device.other_netns)) continue;
    WayOut way = {device.ifindex, false};
    if (device.other != 0) {
      const auto has = ends.value().Has(device);
      if (!has.ok()) return has.status();
      if (has.value()) way = {device.other, true};
    }
    ways.push_back(way);
  }
  return ways;
}

Status Guard(int program, int netns_fd, const WayOut& way, const std::string& pin) {
  if (way.at_node) return AttachToDevice(program, way.ifindex, DeviceHook::kIngress, pin).status();
  return InNetns(netns_fd, [&] {
    return AttachToDevice(program, way.ifindex, DeviceHook::kEgress, pin).status();
  });
}

/// Pins of devices that are none of `ways`.
Status RemoveOtherGuards(const std::string& pins, const std::vector<WayOut>& ways) {
  const auto names = ListPins(pins);
  if (!names.ok()) return names.status();
  for (const std::string& name : names.value()) {
    const std::string pin = pins + "/" + name;
    const bool kept =
        std::ranges::any_of(ways, [&](const WayOut& w) { return w.Pin(pins) == pin; });
    if (name.rfind(kLinkGuard, 0) != 0 || kept) continue;
    if (Status removed = RemovePins(pin); !removed.ok()) return removed;
  }
  return Status::Ok();
}

Result<std::vector<WayOut>> FindWaysToGuard(NodeState* node, int netns_fd) {
  auto ways = FindWaysOut(netns_fd);
  if (ways.ok() && ways.value().size() > MESH_POD_DEVICES_MAX) {
    node->guard_devices_full += ways.value().size() - MESH_POD_DEVICES_MAX;
    ways.value().resize(MESH_POD_DEVICES_MAX);
  }
  return ways;
}

mesh_flow FlowOf(const TcpPair& pair) {
  return {ToMesh(pair.local.ip), ToMesh(pair.remote.ip), pair.local.port, pair.remote.port};
}

}  // namespace

Status InstallGuard(NodeState* node, int netns_fd, const std::string& pins) {
  if (!node->guard.valid()) {
    ++node->guard_unsupported;
    return Status::Ok();
  }
  const auto ways = FindWaysToGuard(node, netns_fd);
  if (!ways.ok()) return ways.status();
  for (const WayOut& way : ways.value()) {
    if (Status done = Guard(node->guard.get(), netns_fd, way, way.Pin(pins)); !done.ok()) {
      return done;
    }
  }
  return RemoveOtherGuards(pins, ways.value());
}

Result<std::vector<std::string>> RepairGuard(NodeState* node, int netns_fd,
                                             const std::string& pins) {
  std::vector<std::string> repaired;
  if (!node->guard.valid()) return repaired;
  const auto ways = FindWaysToGuard(node, netns_fd);
  if (!ways.ok()) return ways.status();
  for (const WayOut& way : ways.value()) {
    const std::string pin = way.Pin(pins);
    const auto link = OpenPin(pin);
    const auto alive = link.ok() ? IsLinkAlive(link.value().get()) : Result<bool>(false);
    if (alive.ok() && alive.value()) continue;
    if (Status done = Guard(node->guard.get(), netns_fd, way, pin); !done.ok()) return done;
    repaired.push_back("guard of device " + std::to_string(way.ifindex));
  }
  if (Status removed = RemoveOtherGuards(pins, ways.value()); !removed.ok()) return removed;
  return repaired;
}

Status RemoveGuard(const std::string& pins) { return RemoveOtherGuards(pins, {}); }

Result<bool> HasGuard(const std::string& pins) {
  const auto names = ListPins(pins);
  if (!names.ok()) return names.status();
  return std::ranges::any_of(
      names.value(), [](const std::string& name) { return name.rfind(kLinkGuard, 0) == 0; });
}

void RememberOldFlows(NodeState* node, const std::vector<TcpPair>& connections) {
  const uint32_t value = 0;
  for (const TcpPair& pair : connections) {
    const mesh_flow flow = FlowOf(pair);
    if (bpf_map_update_elem(node->old_flows.get(), &flow, &value, BPF_ANY) != 0) {
      ++node->old_flows_full;
    }
  }
}

Result<size_t> KeepOldFlows(const NodeState& node, const mesh_pod& pod,
                            const std::vector<TcpPair>& live) {
  const auto flows = ReadKeys<mesh_flow, uint32_t>(node.old_flows.get());
  if (!flows.ok()) return flows.status();
  size_t left = 0;
  for (const mesh_flow& flow : flows.value()) {
    if (!OwnsAddress(pod, flow.pod)) continue;
    const bool lives = std::ranges::any_of(live, [&flow](const TcpPair& pair) {
      const mesh_flow other = FlowOf(pair);
      return std::memcmp(&other, &flow, sizeof flow) == 0;
    });
    left += lives ? 1 : 0;
    // That it is gone already is as good.
    if (!lives) (void)bpf_map_delete_elem(node.old_flows.get(), &flow);
  }
  return left;
}

Status ForgetOldFlows(const NodeState& node, const mesh_pod& pod) {
  return KeepOldFlows(node, pod, {}).status();
}

}  // namespace groundwire
