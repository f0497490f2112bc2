// SPDX-License-Identifier: Apache-2.0
// One pod's capture, in this order, so that no moment lets a connection past the agent or into
// nowhere:
//   1. listeners            in the pod's namespace
//   2. steering program     loaded with the pod's constants; its sockmap holds the listeners
//   3. saved facts          pinned before the pod is changed: the next agent can undo it
//   4. sysctls, routes      nothing uses them yet
//   5. steering attached    inbound connections now reach the agent
//   6. gate                 the connect hook now marks: outbound connections too
//   7. guard                nothing but the agent's own TCP leaves the pod, and what is older
// A step that fails undoes those before it. Giving back goes 7 to 1. A takeover runs the same steps
// over what it finds; the program attached stays in force until the new one replaces it.
#include "capture/capture_pod.h"

#include <bpf/bpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "capture/capture_approvals.h"
#include "capture/capture_check.h"
#include "capture/capture_gate.h"
#include "capture/capture_guard.h"
#include "capture/capture_listeners.h"
#include "capture/capture_record.h"
#include "capture/capture_routes.h"
#include "kernel/bpf_link.h"
#include "kernel/bpf_object.h"
#include "kernel/bpf_pins.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"

namespace groundwire {
namespace {

mesh_steering SteeringOf(const mesh_pod& pod, const std::array<int, MESH_LISTENERS>& listeners) {
  mesh_steering steering = {};
  steering.pod = pod;
  for (size_t i = 0; i < listeners.size(); ++i) {
    steering.listener_port[i] = ListenerPort(listeners[i]);
  }
  return steering;
}

class CapturedPod final : public PodCapture {
 public:
  CapturedPod(std::shared_ptr<NodeState> node, UniqueFd netns, const mesh_pod_state& state)
      : node_(std::move(node)), netns_(std::move(netns)), state_(state) {}

  int netns_fd() const override { return netns_.get(); }
  const PodListeners& listeners() const override { return listeners_; }
  Result<std::vector<TcpPair>> FindUncaptured() override;
  Status CloseUncaptured(const std::vector<TcpPair>& connections) override;
  Result<std::vector<std::string>> Repair() override;
  Status StopSteering() override;
  Status Release() override;

  /// Steps 1 to 6. On failure of a pod that was not captured before, nothing stays.
  Status Capture(bool dns);

 private:
  std::string Directory() const { return node_->PodsDirectory() + "/" + PinName(state_.uid); }
  std::string Unfinished() const {
    return node_->PodsDirectory() + "/" + kUnfinished + PinName(state_.uid);
  }
  Status CaptureIn(const std::string& directory);
  Status Guard();
  Status RepairSteering(std::vector<std::string>* repaired);
  Status RepairSysctls(std::vector<std::string>* repaired);
  Status ForgetEndedFlows();
  void Undo();
  Result<std::vector<DiagSocket>> ListUncaptured();

  std::shared_ptr<NodeState> node_;
  UniqueFd netns_;
  mesh_pod_state state_;
  PodListeners listeners_;
  UniqueFd steering_;
  bool may_have_old_flows_ = true;
};

Status CapturedPod::Capture(bool dns) {
  const auto before = ReadPodRecord(Directory());
  // Not known is not "none": a pod that is captured would lose its steering for the while.
  if (!before.ok() && before.status().errno_value != ENOENT) return before.status();
  auto opened = OpenListeners(netns_.get(), dns);
  if (!opened.ok()) return opened.status();
  listeners_ = opened.value();
  const bool takeover = before.ok() && before.value().pod.netns_cookie == state_.pod.netns_cookie;
  Status done = Status::Ok();
  if (takeover) {
    // What was changed by the agent before stays on record, whatever it looks like now.
    state_.sysctls_changed = before.value().sysctls_changed;
    done = CaptureIn(Directory());
    // Addresses that the pod has no more: nobody would remember them when it is released.
    for (const mesh_address& address : before.value().pod.address) {
      if (!done.ok() || OwnsAddress(state_.pod, address)) continue;
      ForgetAddress(*node_, address, state_.pod.netns_cookie);
    }
  } else {
    if (before.ok()) done = CloseGate(*node_, before.value().pod);
    if (done.ok()) done = RemovePins(Directory());
    if (done.ok()) done = MakePinDirectory(Unfinished());
    if (done.ok()) done = CaptureIn(Unfinished());
    if (done.ok()) done = RenamePinDirectory(Unfinished(), Directory());
  }
  if (done.ok()) done = OpenGate(*node_, state_.pod);
  if (done.ok()) done = Guard();
  if (!done.ok()) {
    CloseListeners(&listeners_);
    if (!takeover) Undo();
  }
  return done;
}

Status CapturedPod::CaptureIn(const std::string& directory) {
  auto steer = BpfObject::Open(node_->bpf_directory, "steer");
  if (!steer.ok()) return steer.status();
  BpfObject& object = steer.value();
  const auto slots = ListenerSlots(listeners_);
  const mesh_steering steering = SteeringOf(state_.pod, slots);
  if (Status set = object.SetConstants(&steering, sizeof steering); !set.ok()) return set;
  const std::pair<const char*, std::string> pins[] = {
      {MESH_MAP_COUNTERS, node_->MapPin(MESH_MAP_COUNTERS)},
      {MESH_MAP_APPROVALS, node_->MapPin(MESH_MAP_APPROVALS)},
      {MESH_MAP_LISTENERS, directory + "/" + MESH_MAP_LISTENERS}};
  for (const auto& [map, pin] : pins) {
    if (Status pinned = object.PinMap(map, pin); !pinned.ok()) return pinned;
  }
  if (Status loaded = object.Load(); !loaded.ok()) return loaded;
  if (Status filled = FillListeners(object.map(MESH_MAP_LISTENERS), slots); !filled.ok()) {
    return filled;
  }
  auto off = FindSysctlsToChange(netns_.get(), state_.pod);
  if (!off.ok()) return off.status();
  state_.sysctls_changed |= off.value();
  if (Status saved = WritePodRecord(directory, state_); !saved.ok()) return saved;
  if (Status set = SetSysctls(netns_.get(), off.value(), true); !set.ok()) return set;
  if (Status routed = InstallRoutes(netns_.get(), state_.pod); !routed.ok()) return routed;
  auto link = AttachToNetns(object.program("mesh_steer"), netns_.get(), BPF_SK_LOOKUP,
                            directory + "/" + kLinkSteer);
  if (!link.ok()) return link.status();
  steering_ = std::move(link.value());
  return Status::Ok();
}

Status CapturedPod::Guard() {
  const auto guarded = HasGuard(Directory());
  if (!guarded.ok()) return guarded.status();
  // Only once: later, a socket that found a way around the mark would look like an old one. Those
  // that cannot be listed are cut off, and FindUncaptured says why.
  const auto old =
      guarded.value() ? Result<std::vector<TcpPair>>(std::vector<TcpPair>()) : FindUncaptured();
  if (old.ok()) RememberOldFlows(node_.get(), old.value());
  return InstallGuard(node_.get(), netns_.get(), Directory());
}

/// What a capture that failed has done so far. Its own failures are not told: the first one is what
/// the caller needs.
void CapturedPod::Undo() {
  (void)CloseGate(*node_, state_.pod);
  (void)RemovePins(Unfinished());
  (void)RemovePins(Directory());
  steering_.Reset();
  (void)RemoveRoutes(netns_.get(), state_.pod);
  (void)SetSysctls(netns_.get(), state_.sysctls_changed, false);
}

/// Not captured is what carries no mark of ours, does not stay in the pod, and is not the agent's
/// own.
Result<std::vector<DiagSocket>> CapturedPod::ListUncaptured() {
  auto netlink = NetlinkSocket::Open(netns_.get(), NETLINK_SOCK_DIAG);
  if (!netlink.ok()) return netlink.status();
  auto sockets = ListTcpConnections(netlink.value());
  if (!sockets.ok()) return sockets.status();
  const auto stays = [this](const IpAddress& address) {
    return address.is_loopback() || OwnsAddress(state_.pod, ToMesh(address));
  };
  std::erase_if(sockets.value(), [&](const DiagSocket& socket) {
    return socket.mark == MESH_MARK_CAPTURE || socket.mark == MESH_MARK_REPLY ||
           socket.cgroup_id == node_->agent_cgroup_id || stays(socket.pair.remote.ip);
  });
  return sockets;
}

Result<std::vector<TcpPair>> CapturedPod::FindUncaptured() {
  auto sockets = ListUncaptured();
  if (!sockets.ok()) return sockets.status();
  std::vector<TcpPair> pairs;
  for (const DiagSocket& socket : sockets.value()) pairs.push_back(socket.pair);
  return pairs;
}

Status CapturedPod::CloseUncaptured(const std::vector<TcpPair>& connections) {
  const auto key = [](const TcpPair& pair) { return std::pair(pair.local, pair.remote); };
  std::set<std::pair<SocketAddress, SocketAddress>> wanted;
  for (const TcpPair& pair : connections) wanted.insert(key(pair));
  // Listed again: a connection must be named by its cookie, and one captured since is not touched.
  auto sockets = ListUncaptured();
  if (!sockets.ok()) return sockets.status();
  auto netlink = NetlinkSocket::Open(netns_.get(), NETLINK_SOCK_DIAG);
  if (!netlink.ok()) return netlink.status();
  Status first = Status::Ok();
  for (const DiagSocket& socket : sockets.value()) {
    if (!wanted.contains(key(socket.pair))) continue;
    // One that cannot be closed must not keep the others open.
    Status done = DestroyTcpConnection(netlink.value(), socket);
    if (first.ok()) first = std::move(done);
  }
  return first;
}

Status CapturedPod::RepairSteering(std::vector<std::string>* repaired) {
  const auto alive = IsLinkAlive(steering_.get());
  if (!alive.ok() || alive.value()) return alive.status();
  if (Status done = CaptureIn(Directory()); !done.ok()) return done;
  repaired->emplace_back("steering program");
  return Status::Ok();
}

Status CapturedPod::RepairSysctls(std::vector<std::string>* repaired) {
  const auto off = FindSysctlsToChange(netns_.get(), state_.pod);
  if (!off.ok() || off.value() == 0) return off.status();
  if (Status set = SetSysctls(netns_.get(), off.value(), true); !set.ok()) return set;
  repaired->emplace_back("sysctls");
  return Status::Ok();
}

/// Their addresses and ports would let pass whoever has them next.
Status CapturedPod::ForgetEndedFlows() {
  if (!may_have_old_flows_) return Status::Ok();
  const auto live = FindUncaptured();
  if (!live.ok()) return live.status();
  const auto left = KeepOldFlows(*node_, state_.pod, live.value());
  if (left.ok()) may_have_old_flows_ = left.value() != 0;
  return left.status();
}

Result<std::vector<std::string>> CapturedPod::Repair() {
  std::vector<std::string> repaired;
  Status first = Status::Ok();
  // What cannot be repaired must not keep the rest from it.
  const auto keep = [&first](Status status) {
    if (first.ok()) first = std::move(status);
  };
  const auto take = [&](Result<std::vector<std::string>> some) {
    if (some.ok()) repaired.insert(repaired.end(), some.value().begin(), some.value().end());
    keep(some.status());
  };
  keep(RepairSteering(&repaired));
  take(RepairRoutes(netns_.get(), state_.pod));
  keep(RepairSysctls(&repaired));
  auto sockmap = OpenPin(Directory() + "/" + MESH_MAP_LISTENERS);
  take(sockmap.ok() ? RepairListeners(sockmap.value().get(), listeners_)
                    : Result<std::vector<std::string>>(sockmap.status()));
  take(RepairGate(*node_, state_.pod));
  take(RepairGuard(node_.get(), netns_.get(), Directory()));
  keep(ForgetEndedFlows());
  if (!first.ok()) return first;
  return repaired;
}

Status CapturedPod::StopSteering() {
  // Before the gate, or what is no longer captured could not leave.
  if (Status removed = RemoveGuard(Directory()); !removed.ok()) return removed;
  if (Status closed = CloseGate(*node_, state_.pod); !closed.ok()) return closed;
  // Before the program: a query that still loops with nobody to steer it would be refused.
  if (Status removed = RemoveDnsRules(netns_.get(), state_.pod); !removed.ok()) return removed;
  if (Status removed = RemovePins(Directory() + "/" + kLinkSteer); !removed.ok()) return removed;
  steering_.Reset();
  return Status::Ok();
}

Status CapturedPod::Release() {
  if (Status stopped = StopSteering(); !stopped.ok()) return stopped;
  if (Status removed = RemoveRoutes(netns_.get(), state_.pod); !removed.ok()) return removed;
  if (Status put_back = SetSysctls(netns_.get(), state_.sysctls_changed, false); !put_back.ok()) {
    return put_back;
  }
  if (Status forgotten = ForgetApprovals(node_->approvals.get(), state_.pod.netns_cookie);
      !forgotten.ok()) {
    return forgotten;
  }
  if (Status forgotten = ForgetOldFlows(*node_, state_.pod); !forgotten.ok()) return forgotten;
  return RemovePins(Directory());
}

}  // namespace

Result<std::unique_ptr<PodCapture>> CapturePodIn(const std::shared_ptr<NodeState>& node,
                                                 const PodCaptureOptions& options) {
  if (Status checked = CheckPodOptions(options); !checked.ok()) return checked;
  auto netns = OpenNetns(options.netns_path);
  if (!netns.ok()) return netns.status();
  auto pod = DescribePod(netns.value().get(), options);
  if (!pod.ok()) return pod.status();
  const auto names = ListPins(node->PodsDirectory());
  if (!names.ok()) return names.status();
  for (const std::string& name : names.value()) {
    const auto other = ReadPodRecord(node->PodsDirectory() + "/" + name);
    if (other.ok() && other.value().pod.netns_cookie == pod.value().netns_cookie &&
        options.uid != other.value().uid) {
      return Status::Error("check pod", EEXIST,
                           options.netns_path + " is captured for pod " + other.value().uid);
    }
  }
  mesh_pod_state state = {};
  state.pod = pod.value();
  struct stat info = {};
  if (fstat(netns.value().get(), &info) == 0) state.netns_inode = info.st_ino;
  options.uid.copy(state.uid, sizeof state.uid - 1);
  auto captured = std::make_unique<CapturedPod>(node, std::move(netns.value()), state);
  if (Status done = captured->Capture(options.dns); !done.ok()) return done;
  return std::unique_ptr<PodCapture>(std::move(captured));
}

}  // namespace groundwire
