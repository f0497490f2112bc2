// SPDX-License-Identifier: Apache-2.0
// One pod's capture, in this order, so that no moment lets a connection past the agent or into
// nowhere:
//   1. listeners            in the pod's namespace
//   2. steering program     loaded with the pod's constants; its sockmap holds the listeners
//   3. saved facts          pinned before the pod is changed: the next agent can undo it
//   4. sysctls, routes      nothing uses them yet
//   5. steering attached    inbound connections now reach the agent
//   6. gate                 the connect hook now marks: outbound connections too
// A step that fails undoes those before it. Giving back goes 6 to 1. A takeover runs the same steps
// over what it finds; the program attached stays in force until the new one replaces it.
#include "capture_pod.h"

#include <bpf/bpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "bpf_link.h"
#include "bpf_object.h"
#include "bpf_pins.h"
#include "capture_approvals.h"
#include "capture_listeners.h"
#include "capture_routes.h"
#include "netns.h"
#include "sock_diag.h"

namespace groundwire {
namespace {

constexpr char kLinkSteer[] = "link_steer";
constexpr char kUnfinished[] =
    "+";  // before a pod's directory until it is complete; PinName never begins with it

mesh_address ToMesh(const IpAddress& address) {
  mesh_address mesh = {};
  std::memcpy(&mesh, address.bytes.data(), sizeof mesh);
  return mesh;
}

bool Owns(const mesh_pod& pod, const mesh_address& address) {
  return std::any_of(std::begin(pod.address), std::end(pod.address), [&](const mesh_address& own) {
    return std::memcmp(&own, &address, sizeof own) == 0;
  });
}

Status CheckOptions(const PodCaptureOptions& options) {
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

Result<mesh_pod> Describe(int netns_fd, const PodCaptureOptions& options) {
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

Result<mesh_pod_state> ReadState(const std::string& directory) {
  auto map = OpenPin(directory + "/" + MESH_MAP_POD_STATE);
  if (!map.ok()) return map.status();
  const uint32_t key = 0;
  mesh_pod_state state = {};
  if (bpf_map_lookup_elem(map.value().get(), &key, &state) != 0) {
    return Status::Error("read pod state", errno, directory);
  }
  return state;
}

Status WriteState(const std::string& directory, const mesh_pod_state& state) {
  auto map = OpenPin(directory + "/" + MESH_MAP_POD_STATE);
  if (!map.ok() && map.status().errno_value == ENOENT) {
    UniqueFd made(bpf_map_create(BPF_MAP_TYPE_ARRAY, MESH_MAP_POD_STATE, sizeof(uint32_t),
                                 sizeof state, 1, nullptr));
    if (!made.valid()) return Status::Error("bpf_map_create", errno, MESH_MAP_POD_STATE);
    if (Status pinned = PinObject(made.get(), directory + "/" + MESH_MAP_POD_STATE); !pinned.ok()) {
      return pinned;
    }
    map = std::move(made);
  }
  if (!map.ok()) return map.status();
  const uint32_t key = 0;
  if (bpf_map_update_elem(map.value().get(), &key, &state, BPF_ANY) != 0) {
    return Status::Error("write pod state", errno, directory);
  }
  return Status::Ok();
}

Status FillListeners(int sockmap, const std::array<int, MESH_LISTENERS>& listeners) {
  for (uint32_t slot = 0; slot < MESH_LISTENERS; ++slot) {
    const auto value = static_cast<uint64_t>(listeners[slot]);
    // An empty slot is left empty: a listener that was there went with the process that had it.
    if (listeners[slot] >= 0 && bpf_map_update_elem(sockmap, &slot, &value, BPF_ANY) != 0) {
      return Status::Error("put listener", errno, "slot " + std::to_string(slot));
    }
  }
  return Status::Ok();
}

mesh_steering SteeringOf(const mesh_pod& pod, const std::array<int, MESH_LISTENERS>& listeners) {
  mesh_steering steering = {};
  steering.pod = pod;
  for (size_t i = 0; i < listeners.size(); ++i) {
    steering.listener_port[i] = ListenerPort(listeners[i]);
  }
  return steering;
}

void ForgetAddress(const NodeState& node, const mesh_address& address, uint64_t netns_cookie) {
  uint64_t cookie = 0;
  // Another pod may have the same address by now; its entry stays.
  if (bpf_map_lookup_elem(node.addresses.get(), &address, &cookie) != 0) return;
  if (cookie == netns_cookie) bpf_map_delete_elem(node.addresses.get(), &address);
}

Status OpenGate(const NodeState& node, const mesh_pod& pod) {
  const IpAddress unused;
  for (const mesh_address& address : pod.address) {
    if (std::memcmp(&address, unused.bytes.data(), sizeof address) == 0) continue;
    if (bpf_map_update_elem(node.addresses.get(), &address, &pod.netns_cookie, BPF_ANY) != 0) {
      return Status::Error("bpf_map_update", errno, MESH_MAP_ADDRESSES);
    }
  }
  if (bpf_map_update_elem(node.pods.get(), &pod.netns_cookie, &pod, BPF_ANY) != 0) {
    return Status::Error(
        "bpf_map_update", errno,
        std::string(MESH_MAP_PODS) + ", at most " + std::to_string(MESH_PODS_MAX) + " pods a node");
  }
  return Status::Ok();
}

Status CloseGate(const NodeState& node, const mesh_pod& pod) {
  if (bpf_map_delete_elem(node.pods.get(), &pod.netns_cookie) != 0 && errno != ENOENT) {
    return Status::Error("bpf_map_delete", errno, MESH_MAP_PODS);
  }
  for (const mesh_address& address : pod.address) ForgetAddress(node, address, pod.netns_cookie);
  return Status::Ok();
}

class CapturedPod final : public PodCapture {
 public:
  CapturedPod(std::shared_ptr<NodeState> node, UniqueFd netns, const mesh_pod_state& state)
      : node_(std::move(node)), netns_(std::move(netns)), state_(state) {}

  int netns_fd() const override { return netns_.get(); }
  const PodListeners& listeners() const override { return listeners_; }
  Result<std::vector<TcpPair>> FindUncaptured() override;
  Status CloseUncaptured(const std::vector<TcpPair>& connections) override;
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
  void Undo();
  Result<std::vector<DiagSocket>> ListUncaptured();

  std::shared_ptr<NodeState> node_;
  UniqueFd netns_;
  mesh_pod_state state_;
  PodListeners listeners_;
  UniqueFd steering_;
};

Status CapturedPod::Capture(bool dns) {
  auto opened = OpenListeners(netns_.get(), dns);
  if (!opened.ok()) return opened.status();
  listeners_ = opened.value();
  const auto before = ReadState(Directory());
  const bool takeover = before.ok() && before.value().pod.netns_cookie == state_.pod.netns_cookie;
  Status done = Status::Ok();
  if (takeover) {
    // What was changed by the agent before stays on record, whatever it looks like now.
    state_.sysctls_changed = before.value().sysctls_changed;
    done = CaptureIn(Directory());
    // Addresses that the pod has no more: nobody would remember them when it is released.
    for (const mesh_address& address : before.value().pod.address) {
      if (!done.ok() || Owns(state_.pod, address)) continue;
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
  if (Status saved = WriteState(directory, state_); !saved.ok()) return saved;
  if (Status set = SetSysctls(netns_.get(), off.value(), true); !set.ok()) return set;
  if (Status routed = InstallRoutes(netns_.get(), state_.pod); !routed.ok()) return routed;
  auto link = AttachToNetns(object.program("mesh_steer"), netns_.get(), BPF_SK_LOOKUP,
                            directory + "/" + kLinkSteer);
  if (!link.ok()) return link.status();
  steering_ = std::move(link.value());
  return Status::Ok();
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
    return address.is_loopback() || Owns(state_.pod, ToMesh(address));
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

Status CapturedPod::StopSteering() {
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
  ForgetApprovals(node_->approvals.get(), state_.pod.netns_cookie);
  return RemovePins(Directory());
}

bool IsNetnsOf(int netns_fd, const mesh_pod_state& state) {
  auto probe = SocketInNetns(netns_fd, AF_INET, SOCK_DGRAM);
  if (!probe.ok()) return false;
  const auto cookie = NetnsCookie(probe.value().get());
  return cookie.ok() && cookie.value() == state.pod.netns_cookie;
}

/// The namespace of a pod whose path nobody remembers: a named one, or one that a process is in.
/// Invalid when it is gone.
UniqueFd FindNetns(const mesh_pod_state& state) {
  const std::pair<const char*, const char*> places[] = {{"/run/netns", ""}, {"/proc", "/ns/net"}};
  for (const auto& [parent, below] : places) {
    std::error_code error;
    std::filesystem::directory_iterator entry(parent, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      const std::string path = entry->path().string() + below;
      struct stat info = {};
      if (stat(path.c_str(), &info) != 0 || info.st_ino != state.netns_inode) continue;
      auto netns = OpenNetns(path);
      if (netns.ok() && IsNetnsOf(netns.value().get(), state)) return std::move(netns.value());
    }
  }
  return {};
}

/// What a release or a capture that was cut off has left in the pod's namespace, if that lives.
Status UndoLeftOver(const mesh_pod_state& state) {
  const UniqueFd netns = FindNetns(state);
  if (!netns.valid()) return Status::Ok();
  if (Status removed = RemoveRoutes(netns.get(), state.pod); !removed.ok()) return removed;
  return SetSysctls(netns.get(), state.sysctls_changed, false);
}

}  // namespace

Result<std::unique_ptr<PodCapture>> CapturePodIn(const std::shared_ptr<NodeState>& node,
                                                 const PodCaptureOptions& options) {
  if (Status checked = CheckOptions(options); !checked.ok()) return checked;
  auto netns = OpenNetns(options.netns_path);
  if (!netns.ok()) return netns.status();
  auto pod = Describe(netns.value().get(), options);
  if (!pod.ok()) return pod.status();
  for (const std::string& name : ListPins(node->PodsDirectory())) {
    const auto other = ReadState(node->PodsDirectory() + "/" + name);
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

size_t SweepPods(const NodeState& node) {
  size_t swept = 0;
  std::set<uint64_t> kept;
  for (const std::string& name : ListPins(node.PodsDirectory())) {
    const std::string directory = node.PodsDirectory() + "/" + name;
    const auto state = ReadState(directory);
    const auto link = OpenPin(directory + "/" + kLinkSteer);
    const bool finished = name.rfind(kUnfinished, 0) != 0;
    if (finished && state.ok() && link.ok() && IsLinkAlive(link.value().get())) {
      kept.insert(state.value().pod.netns_cookie);
      continue;
    }
    if (state.ok()) {
      (void)CloseGate(node, state.value().pod);
      // The record stays as long as what it records: the next agent tries again.
      if (!UndoLeftOver(state.value()).ok()) continue;
    }
    if (RemovePins(directory).ok()) ++swept;
  }
  std::vector<mesh_pod> stale;
  uint64_t key = 0;
  for (bool first = true; bpf_map_get_next_key(node.pods.get(), first ? nullptr : &key, &key) == 0;
       first = false) {
    mesh_pod pod = {};
    if (!kept.contains(key) && bpf_map_lookup_elem(node.pods.get(), &key, &pod) == 0) {
      stale.push_back(pod);
    }
  }
  for (const mesh_pod& pod : stale) (void)CloseGate(node, pod);
  return swept + stale.size();
}

}  // namespace groundwire
