// SPDX-License-Identifier: Apache-2.0
// The node's part of capture. Its pins, in one directory that a lock makes one agent's:
//
//   mesh_version mesh_pods mesh_addresses mesh_approvals mesh_counters     maps
//   mesh_probe_flow mesh_old_flows
//   link_connect4 link_connect6 link_approve [link_probe]                  on the cgroups
//   pods/<uid>/{mesh_listeners,mesh_pod_state,link_steer,link_guard_*}     see capture_pod.cc
//
// They outlive the agent on purpose: while it is away, captured pods get refusals, never plaintext.
// The last agent that closes without a captured pod takes them away.
#include "capture/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <initializer_list>

#include "base/counters.h"
#include "capture/capture_approvals.h"
#include "capture/capture_counters.h"
#include "capture/capture_node.h"
#include "capture/capture_pod.h"
#include "capture/capture_sweep.h"
#include "kernel/bpf_link.h"
#include "kernel/bpf_map.h"
#include "kernel/bpf_object.h"
#include "kernel/bpf_pins.h"
#include "mesh_abi.h"

namespace groundwire {
namespace {

constexpr char kLinkApprove[] = "link_approve";
constexpr char kLinkProbe[] = "link_probe";
constexpr char kLinkConnect4[] = "link_connect4";
constexpr char kLinkConnect6[] = "link_connect6";
constexpr char kUnfinished[] =
    "+new+";  // between a directory's name and the pid of who is building it

struct Cgroup {
  UniqueFd fd;
  uint64_t id = 0;
};

Result<Cgroup> OpenCgroup(const std::string& path, const char* what) {
  Cgroup cgroup;
  cgroup.fd.Reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info = {};
  if (!cgroup.fd.valid() || fstat(cgroup.fd.get(), &info) != 0) {
    return Status::Error("open cgroup", errno,
                         path + " (" + what + "); it must exist, in cgroup v2");
  }
  cgroup.id = info.st_ino;
  return cgroup;
}

/// The agent's sockets are told by its cgroup, so the process must be in it before it opens one.
Status JoinCgroup(const std::string& path) {
  std::ofstream procs(path + "/cgroup.procs");
  procs << 0 << std::flush;
  if (!procs) return Status::Error("join cgroup", errno, path + "/cgroup.procs");
  return Status::Ok();
}

struct Cgroups {
  Cgroup pods, agent, probe;
};

Result<Cgroups> OpenCgroups(const NodeCaptureOptions& options) {
  Cgroups cgroups;
  const struct {
    const std::string& path;
    const char* what;
    Cgroup* to;
  } wanted[] = {{options.pods_cgroup, "ancestor of all pods", &cgroups.pods},
                {options.agent_cgroup, "the agent's own", &cgroups.agent},
                {options.probe_cgroup, "the prober's", &cgroups.probe}};
  for (const auto& one : wanted) {
    if (one.path.empty() && one.to == &cgroups.probe) continue;
    auto opened = OpenCgroup(one.path, one.what);
    if (!opened.ok()) return opened.status();
    *one.to = std::move(opened.value());
  }
  if (Status joined = JoinCgroup(options.agent_cgroup); !joined.ok()) return joined;
  return cgroups;
}

Status CheckVersion(const std::string& directory) {
  auto map = OpenPin(directory + "/" + MESH_MAP_VERSION);
  if (!map.ok()) return map.status();
  const uint32_t key = 0;
  uint32_t version = 0;
  if (bpf_map_lookup_elem(map.value().get(), &key, &version) != 0) {
    return Status::Error("read ABI version", errno, directory);
  }
  if (version == MESH_ABI_VERSION) return Status::Ok();
  return Status::Error("check ABI version", EPROTO,
                       directory + " was made by an agent with ABI " + std::to_string(version) +
                           ", this one has " + std::to_string(MESH_ABI_VERSION) +
                           "; let that agent release its pods and close, or remove the directory, "
                           "which ends capture");
}

Status WriteVersion(const std::string& directory) {
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, MESH_MAP_VERSION, sizeof(uint32_t),
                              sizeof(uint32_t), 1, nullptr));
  if (!map.valid()) return Status::Error("bpf_map_create", errno, MESH_MAP_VERSION);
  const uint32_t key = 0;
  const uint32_t version = MESH_ABI_VERSION;
  if (bpf_map_update_elem(map.get(), &key, &version, BPF_ANY) != 0) {
    return Status::Error("write ABI version", errno);
  }
  return PinObject(map.get(), directory + "/" + MESH_MAP_VERSION);
}

Result<BpfObject> LoadNodeObject(const NodeState& node, const std::string& directory,
                                 const char* name, std::initializer_list<const char*> maps,
                                 const uint64_t* constant) {
  auto opened = BpfObject::Open(node.bpf_directory, name);
  if (!opened.ok()) return opened;
  BpfObject& object = opened.value();
  if (constant != nullptr) {
    if (Status set = object.SetConstants(constant, sizeof *constant); !set.ok()) return set;
  }
  for (const char* map : maps) {
    if (Status pinned = object.PinMap(map, directory + "/" + map); !pinned.ok()) return pinned;
  }
  if (Status loaded = object.Load(); !loaded.ok()) return loaded;
  return opened;
}

/// Loads the node's programs and attaches them, in a new directory or over what is pinned in an old
/// one.
Status AttachNode(NodeState* node, const std::string& directory, const Cgroups& cgroups) {
  auto connect = LoadNodeObject(*node, directory, "connect", {MESH_MAP_COUNTERS, MESH_MAP_PODS},
                                &node->agent_cgroup_id);
  if (!connect.ok()) return connect.status();
  auto approve = LoadNodeObject(
      *node, directory, "approve",
      {MESH_MAP_COUNTERS, MESH_MAP_APPROVALS, MESH_MAP_ADDRESSES, MESH_MAP_PROBE_FLOWS}, nullptr);
  if (!approve.ok()) return approve.status();
  auto guard = LoadNodeObject(*node, directory, "guard",
                              {MESH_MAP_COUNTERS, MESH_MAP_PROBE_FLOWS, MESH_MAP_OLD_FLOWS},
                              &node->agent_cgroup_id);
  if (!guard.ok()) return guard.status();
  // Attached to the devices of pods, where the kernel can.
  const int program = guard.value().program("mesh_guard");
  if (TryAttachToDevice(program).ok()) node->guard.Reset(fcntl(program, F_DUPFD_CLOEXEC, 0));
  const struct {
    int program;
    const Cgroup& cgroup;
    bpf_attach_type type;
    const char* pin;
  } links[] = {
      {approve.value().program("mesh_approve"), cgroups.agent, BPF_CGROUP_SOCK_OPS, kLinkApprove},
      {approve.value().program("mesh_probe"), cgroups.probe, BPF_CGROUP_SOCK_OPS, kLinkProbe},
      {connect.value().program("mesh_connect4"), cgroups.pods, BPF_CGROUP_INET4_CONNECT,
       kLinkConnect4},
      {connect.value().program("mesh_connect6"), cgroups.pods, BPF_CGROUP_INET6_CONNECT,
       kLinkConnect6}};
  for (const auto& link : links) {
    const std::string pin = directory + "/" + link.pin;
    if (!link.cgroup.fd.valid()) {
      if (Status removed = RemovePins(pin); !removed.ok()) return removed;
      continue;
    }
    auto attached = AttachToCgroup(link.program, link.cgroup.fd.get(), link.type, pin);
    if (!attached.ok()) return attached.status();
  }
  return Status::Ok();
}

/// Builds a new directory aside and gives it its name when it is complete.
Status CreateNode(NodeState* node, const Cgroups& cgroups) {
  const std::string aside = node->directory + kUnfinished + std::to_string(getpid());
  if (Status made = MakePinDirectory(aside); !made.ok()) return made;
  auto lock = LockPinDirectory(aside);
  Status done = lock.ok() ? MakePinDirectory(aside + "/pods") : lock.status();
  if (done.ok()) done = AttachNode(node, aside, cgroups);
  if (done.ok()) done = WriteVersion(aside);
  if (done.ok()) done = RenamePinDirectory(aside, node->directory);
  if (!done.ok()) {
    (void)RemovePins(aside);
    return done;
  }
  node->lock = std::move(lock.value());
  return Status::Ok();
}

Status TakeOverNode(NodeState* node, const Cgroups& cgroups) {
  auto lock = LockPinDirectory(node->directory);
  if (!lock.ok()) return lock.status();
  if (Status same = CheckVersion(node->directory); !same.ok()) return same;
  node->lock = std::move(lock.value());
  if (Status fitted = FitCounters(node->MapPin(MESH_MAP_COUNTERS)); !fitted.ok()) return fitted;
  return AttachNode(node, node->directory, cgroups);
}

/// What agents that died while building left aside. Nobody's lock is on it, and nothing hangs on
/// it: what is not seen now is removed another time.
void SweepUnfinished(const std::string& directory) {
  const size_t slash = directory.rfind('/');
  const std::string parent = directory.substr(0, slash);
  const std::string prefix = directory.substr(slash + 1) + kUnfinished;
  const auto names = ListPins(parent);
  if (!names.ok()) return;
  for (const std::string& name : names.value()) {
    if (name.rfind(prefix, 0) != 0) continue;
    auto lock = LockPinDirectory(parent + "/" + name);
    if (lock.ok()) (void)RemovePins(parent + "/" + name);
  }
}

Status OpenNodeMaps(NodeState* node) {
  const std::pair<const char*, UniqueFd*> maps[] = {{MESH_MAP_PODS, &node->pods},
                                                    {MESH_MAP_ADDRESSES, &node->addresses},
                                                    {MESH_MAP_APPROVALS, &node->approvals},
                                                    {MESH_MAP_COUNTERS, &node->counters},
                                                    {MESH_MAP_OLD_FLOWS, &node->old_flows}};
  for (const auto& [name, fd] : maps) {
    auto opened = OpenPin(node->MapPin(name));
    if (!opened.ok()) return opened.status();
    *fd = std::move(opened.value());
  }
  return Status::Ok();
}

class Node final : public NodeCapture {
 public:
  Node(std::shared_ptr<NodeState> state, NodeCaptureOptions options)
      : state_(std::move(state)), options_(std::move(options)) {}
  ~Node() override {
    const auto pods = ListPins(state_->PodsDirectory());
    if (pods.ok() && pods.value().empty()) (void)RemovePins(state_->directory);
  }
  Result<std::unique_ptr<PodCapture>> CapturePod(const PodCaptureOptions& options) override {
    return CapturePodIn(state_, options);
  }
  Result<std::vector<std::string>> Repair() override;
  Result<std::vector<std::pair<std::string, uint64_t>>> ReadCounters() override;

 private:
  std::shared_ptr<NodeState> state_;
  const NodeCaptureOptions options_;
};

Result<std::vector<std::string>> Node::Repair() {
  // Without their pins, programs loaded anew would get maps of their own that no pod knows.
  for (const char* map : {MESH_MAP_COUNTERS, MESH_MAP_PODS, MESH_MAP_APPROVALS, MESH_MAP_ADDRESSES,
                          MESH_MAP_PROBE_FLOWS, MESH_MAP_OLD_FLOWS}) {
    if (auto pin = OpenPin(state_->MapPin(map)); !pin.ok()) return pin.status();
  }
  std::vector<std::string> missing;
  for (const char* link : {kLinkApprove, kLinkProbe, kLinkConnect4, kLinkConnect6}) {
    if (link == kLinkProbe && options_.probe_cgroup.empty()) continue;
    const auto pin = OpenPin(state_->directory + "/" + link);
    if (!pin.ok() && pin.status().errno_value != ENOENT) return pin.status();
    const auto alive = pin.ok() ? IsLinkAlive(pin.value().get()) : Result<bool>(false);
    if (!alive.ok()) return alive.status();
    if (!alive.value()) missing.emplace_back(link);
  }
  if (missing.empty()) return missing;
  const auto cgroups = OpenCgroups(options_);
  if (!cgroups.ok()) return cgroups.status();
  if (Status attached = AttachNode(state_.get(), state_->directory, cgroups.value());
      !attached.ok()) {
    return attached;
  }
  return missing;
}

Result<std::vector<std::pair<std::string, uint64_t>>> Node::ReadCounters() {
  auto sums = SumCounters(state_->counters.get());
  if (!sums.ok()) return sums.status();
  std::vector<std::pair<std::string, uint64_t>>& counters = sums.value();
  counters.emplace_back(reading::kSweepSkipped, state_->sweep_skipped);
  counters.emplace_back(reading::kOldFlowsFull, state_->old_flows_full);
  counters.emplace_back(reading::kGuardUnsupported, state_->guard_unsupported);
  counters.emplace_back(reading::kGuardDevicesFull, state_->guard_devices_full);
  const auto pods = ReadKeys<uint64_t, mesh_pod>(state_->pods.get());
  if (!pods.ok()) return pods.status();
  const auto addresses = ReadKeys<mesh_address, uint64_t>(state_->addresses.get());
  if (!addresses.ok()) return addresses.status();
  const auto approvals = ReadKeys<mesh_approval, uint32_t>(state_->approvals.get());
  if (!approvals.ok()) return approvals.status();
  const auto old_flows = ReadKeys<mesh_flow, uint32_t>(state_->old_flows.get());
  if (!old_flows.ok()) return old_flows.status();
  counters.emplace_back(reading::kMapPodsEntries, pods.value().size());
  counters.emplace_back(reading::kMapPodsMax, MESH_PODS_MAX);
  counters.emplace_back(reading::kMapAddressesEntries, addresses.value().size());
  counters.emplace_back(reading::kMapAddressesMax, MESH_ADDRESSES_MAX);
  counters.emplace_back(reading::kMapApprovalsEntries, approvals.value().size());
  counters.emplace_back(reading::kMapApprovalsMax, MESH_APPROVALS_MAX);
  counters.emplace_back(reading::kMapOldFlowsEntries, old_flows.value().size());
  counters.emplace_back(reading::kMapOldFlowsMax, MESH_OLD_FLOWS_MAX);
  return sums;
}

}  // namespace

Result<std::unique_ptr<NodeCapture>> NodeCapture::Open(const NodeCaptureOptions& options) {
  auto state = std::make_shared<NodeState>();
  state->bpf_directory = options.bpf_directory;
  auto directory = PreparePinParent(options.pin_directory);
  if (!directory.ok()) return directory.status();
  state->directory = directory.value();
  auto cgroups = OpenCgroups(options);
  if (!cgroups.ok()) return cgroups.status();
  state->agent_cgroup_id = cgroups.value().agent.id;
  SweepUnfinished(state->directory);
  struct stat info = {};
  const bool exists = stat(state->directory.c_str(), &info) == 0;
  Status done = exists ? TakeOverNode(state.get(), cgroups.value())
                       : CreateNode(state.get(), cgroups.value());
  if (done.ok()) done = OpenNodeMaps(state.get());
  if (done.ok() && exists) done = ForgetApprovals(state->approvals.get());
  if (done.ok()) done = SweepPods(state.get());
  if (!done.ok()) return done;
  return std::unique_ptr<NodeCapture>(std::make_unique<Node>(std::move(state), options));
}

}  // namespace groundwire
