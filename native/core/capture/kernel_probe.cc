// SPDX-License-Identifier: Apache-2.0
#include "capture/kernel_probe.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>

#include "io/socket_transparent.h"
#include "kernel/bpf_link.h"
#include "kernel/bpf_object.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"
#include "mesh_abi.h"

namespace groundwire {
namespace {

struct Probe {
  const char* name;
  bool required;
  const char* tried;
  const char* remedy;
  std::function<Status()> run;
};

constexpr char kRunAsRoot[] =
    "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN; in a container also "
    "privileged, "
    "or with unconfined seccomp and a writable /proc/sys";

Status TryPrivileges() {
  // What capture does that needs CAP_SYS_ADMIN: enter a namespace, here the one we are in.
  auto home = OpenNetns("/proc/thread-self/ns/net");
  if (!home.ok()) return home.status();
  return InNetns(home.value().get(), [] { return Status::Ok(); });
}

Status TryCreateMap() {
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_HASH, "mesh_probe", 8, 8, 1, nullptr));
  return map.valid() ? Status::Ok() : Status::Error("bpf_map_create", errno);
}

Status TrySockmap() {
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "mesh_probe", 4, 8, 1, nullptr));
  return map.valid() ? Status::Ok() : Status::Error("bpf_map_create sockmap", errno);
}

/// `return verdict`, after an optional load of a 32-bit context field.
Status TryProgram(bpf_prog_type type, bpf_attach_type attach, int context_offset, int verdict) {
  bpf_insn code[3] = {};
  size_t length = 0;
  if (context_offset >= 0) {
    code[length++] = {.code = BPF_LDX | BPF_MEM | BPF_W,
                      .dst_reg = BPF_REG_0,
                      .src_reg = BPF_REG_1,
                      .off = static_cast<__s16>(context_offset),
                      .imm = 0};
  }
  code[length++] = {.code = BPF_ALU64 | BPF_MOV | BPF_K,
                    .dst_reg = BPF_REG_0,
                    .src_reg = 0,
                    .off = 0,
                    .imm = verdict};
  code[length++] = {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};
  char log[1024] = {};
  bpf_prog_load_opts options = {};
  options.sz = sizeof options;
  options.expected_attach_type = attach;
  options.log_buf = log;
  options.log_size = sizeof log;
  options.log_level = 1;
  UniqueFd program(bpf_prog_load(type, "mesh_probe", "Dual BSD/GPL", code, length, &options));
  return program.valid() ? Status::Ok() : Status::Error("bpf_prog_load", errno, log);
}

Status TryObject(const std::string& directory, const char* name) {
  auto object = BpfObject::Open(directory, name);
  return object.ok() ? object.value().Load() : object.status();
}

Status TryGuard(const std::string& directory) {
  auto object = BpfObject::Open(directory, "guard");
  if (!object.ok()) return object.status();
  if (Status loaded = object.value().Load(); !loaded.ok()) return loaded;
  return TryAttachToDevice(object.value().program("mesh_guard"));
}

Status TryNetnsCookie() {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return NetnsCookie(fd.get()).status();
}

Status TryTransparent() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return SetTransparent(fd.get(), AF_INET);
}

Status TryMark() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const unsigned int mark = MESH_MARK_REPLY;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0) return Status::Ok();
  return Status::Error("setsockopt SO_MARK", errno);
}

Status TrySysctl() {
  const char* path = "/proc/sys/net/ipv4/tcp_fwmark_accept";
  UniqueFd fd(open(path, O_RDWR | O_CLOEXEC));  // opened for writing, not written
  return fd.valid() ? Status::Ok() : Status::Error("open", errno, path);
}

/// The directory need not be there yet: its deepest ancestor that is tells.
Status TryCgroup(const std::string& directory) {
  std::string path = directory;
  struct statfs info = {};
  while (statfs(path.c_str(), &info) != 0 && path.size() > 1) {
    path.resize(std::max<size_t>(path.rfind('/'), 1));
  }
  if (info.f_type == CGROUP2_SUPER_MAGIC) return Status::Ok();
  return Status::Error("check cgroup", EINVAL,
                       path + ", above " + directory + ", is not cgroup v2");
}

Status TrySockDiag() {
  auto home = OpenNetns("/proc/thread-self/ns/net");
  if (!home.ok()) return home.status();
  auto netlink = NetlinkSocket::Open(home.value().get(), NETLINK_SOCK_DIAG);
  if (!netlink.ok()) return netlink.status();
  // A kernel without tcp_diag says "no such socket" to what comes next, too.
  if (Status listed = ListTcpConnections(netlink.value()).status(); !listed.ok()) {
    return listed;
  }
  // A connection that cannot exist: "no such socket" tells that destroying is possible, which is
  // success here.
  DiagSocket nobody;
  nobody.pair.local = {*IpAddress::Parse("127.0.0.1"), 1};
  nobody.pair.remote = {*IpAddress::Parse("127.0.0.1"), 1};
  return DestroyTcpConnection(netlink.value(), nobody);
}

Status TryIpv6() {
  UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.valid() ? Status::Ok() : Status::Error("socket AF_INET6", errno);
}

/// A refusal says nothing about the kernel yet.
const char* Remedy(const Status& tried, const Probe& probe) {
  return tried.errno_value == EPERM || tried.errno_value == EACCES ? kRunAsRoot : probe.remedy;
}

}  // namespace

std::vector<msg::KernelFeature> ProbeKernel(const NodeCaptureOptions& options) {
  const auto program = [](bpf_prog_type type, bpf_attach_type attach, int offset, int verdict) {
    return [=] { return TryProgram(type, attach, offset, verdict); };
  };
  constexpr auto kIngressIfindex = static_cast<int>(offsetof(bpf_sk_lookup, ingress_ifindex));
  const Probe probes[] = {
      {"privileges", true, "setns into the own network namespace", kRunAsRoot, TryPrivileges},
      {"eBPF maps", true, "create a hash map", kRunAsRoot, TryCreateMap},
      {"sockmap", true, "create a sockmap",
       "a kernel with CONFIG_NET_SOCK_MSG or CONFIG_BPF_STREAM_PARSER", TrySockmap},
      {"cgroup connect hooks", true, "load a cgroup/connect4 program",
       "Linux 5.8 or newer with CONFIG_CGROUP_BPF",
       program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, -1, 1)},
      {"cgroup sockops", true, "load a sockops program",
       "Linux 5.15 or newer with CONFIG_CGROUP_BPF",
       program(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, -1, 1)},
      {"sk_lookup", true, "load an sk_lookup program", "Linux 5.9 or newer",
       program(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, -1, SK_PASS)},
      {"sk_lookup ingress_ifindex", true, "load an sk_lookup program that reads it",
       "Linux 5.17 or newer",
       program(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, kIngressIfindex, SK_PASS)},
      {"program connect", true, "load connect.bpf.o",
       "what the verifier says above is a bug worth reporting",
       [&] { return TryObject(options.bpf_directory, "connect"); }},
      {"program steer", true, "load steer.bpf.o",
       "what the verifier says above is a bug worth reporting",
       [&] { return TryObject(options.bpf_directory, "steer"); }},
      {"program approve", true, "load approve.bpf.o",
       "what the verifier says above is a bug worth reporting",
       [&] { return TryObject(options.bpf_directory, "approve"); }},
      {"program guard", true, "load guard.bpf.o",
       "what the verifier says above is a bug worth reporting",
       [&] { return TryObject(options.bpf_directory, "guard"); }},
      {"tcx", false, "attach guard.bpf.o to loopback",
       "Linux 6.6 or newer; without it a program in a pod that has CAP_NET_RAW, or is in another "
       "cgroup, can get around capture",
       [&] { return TryGuard(options.bpf_directory); }},
      {"netns cookie", true, "getsockopt SO_NETNS_COOKIE", "Linux 5.14 or newer", TryNetnsCookie},
      {"transparent sockets", true, "setsockopt IP_TRANSPARENT", kRunAsRoot, TryTransparent},
      {"socket marks", true, "setsockopt SO_MARK", kRunAsRoot, TryMark},
      {"tcp_fwmark_accept", true, "open the sysctl for writing",
       "Linux 4.0 or newer; /proc/sys mounted writable", TrySysctl},
      {"cgroup v2 for pods", true, "statfs of the pods' cgroup",
       "mount cgroup v2 (mount -t cgroup2 none /sys/fs/cgroup/unified) and make the directory",
       [&] { return TryCgroup(options.pods_cgroup); }},
      {"cgroup v2 for the agent", true, "statfs of the agent's cgroup",
       "mount cgroup v2 (mount -t cgroup2 none /sys/fs/cgroup/unified) and make the directory",
       [&] { return TryCgroup(options.agent_cgroup); }},
      {"sock_diag destroy", false, "list TCP connections, SOCK_DESTROY of one that does not exist",
       "a kernel with CONFIG_INET_DIAG (tcp_diag) and CONFIG_INET_DIAG_DESTROY; without them "
       "connections older than capture cannot be found or ended",
       TrySockDiag},
      {"IPv6", false, "socket AF_INET6", "boot without ipv6.disable=1 if pods are to have IPv6",
       TryIpv6}};
  utsname host = {};
  uname(&host);
  std::vector<msg::KernelFeature> features;
  for (const Probe& probe : probes) {
    const Status tried = probe.run();
    const std::string said = tried.ok() ? "works" : tried.ToString();
    features.push_back({probe.name, tried.ok(), probe.required,
                        std::string(probe.tried) + ": " + said + ", Linux " + host.release,
                        tried.ok() ? "" : Remedy(tried, probe)});
  }
  return features;
}

}  // namespace groundwire
