// SPDX-License-Identifier: Apache-2.0
#include "kernel_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <thread>
#include <utility>

#include "check.h"
#include "kernel/netns.h"

namespace groundwire::world {
namespace {

constexpr int kPatienceMs = 2000;
constexpr unsigned kWorldSeconds = 180;

pid_t world_pid = 0;  // names everything; the child that runs the tests keeps its parent's

std::string Tag() { return "gwa-" + std::to_string(world_pid); }

std::string CgroupRoot() {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string device, where, type, rest;
       mounts >> device >> where >> type && std::getline(mounts, rest);) {
    if (type == "cgroup2") return where;
  }
  return "";
}

std::string Output(const std::string& command) {
  std::string text;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  char buffer[4096];
  while (const size_t size = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, size);
  pclose(pipe);
  return text;
}

/// True when every line of the script worked; prints what did not.
bool Script(const std::string& script) {
  const std::string said = Output("set -e\n" + script + "\necho done-well");
  const bool well = said.ends_with("done-well\n");
  if (!well) std::cout << said << std::endl;
  return well;
}

std::string PodScript(const std::string& pod, int index) {
  const std::string ns = Tag() + "-" + pod;
  const std::string router = "ip netns exec " + Tag() + "-router ";
  const std::string i = std::to_string(index);
  return "ip netns add " + ns + "\nip -n " + ns + " link set lo up\n" + "ip -n " + Tag() +
         "-router link add v" + pod + " type veth peer name eth0 netns " + ns + "\n" + "ip -n " +
         ns + " addr add 10.201.0." + i + "/32 dev eth0\n" + "ip -n " + ns +
         " addr add fd77:a::" + i + "/128 dev eth0 nodad\n" + "ip -n " + ns +
         " link set eth0 up\n" + router + "ip addr add 169.254.1.1/32 dev v" + pod + "\n" + router +
         "ip addr add fe80::1/64 dev v" + pod + " nodad\n" + router + "ip link set v" + pod +
         " up\n" + router + "ip route add 10.201.0." + i + "/32 dev v" + pod + "\n" + router +
         "ip route add fd77:a::" + i + "/128 dev v" + pod + "\n" + "ip -n " + ns +
         " route add 169.254.1.1 dev eth0 scope link\n" + "ip -n " + ns +
         " route add default via 169.254.1.1 dev eth0\n" + "ip -n " + ns +
         " -6 route add default via fe80::1 dev eth0\n";
}

/// A pod with the address of a, alone on a cable to itself.
std::string TwinScript() {
  const std::string twin = "ip -n " + Tag() + "-twin ";
  return "ip netns add " + Tag() + "-twin\n" + twin + "link set lo up\n" + twin +
         "link add eth0 type veth peer name end\n" + twin + "link set end up\n" + twin +
         "addr add 10.201.0.1/32 dev eth0\n" + twin + "link set eth0 up\n" + twin +
         "route add default dev eth0\n";
}

bool Make() {
  const std::string cgroup = CgroupRoot() + "/" + Tag();
  const std::string router = Tag() + "-router";
  return Script("ip netns add " + router + "\nip -n " + router + " link set lo up\n" + "ip -n " +
                router + " addr add 10.201.9.9/32 dev lo\n" + "ip -n " + router +
                " addr add fd77:a::99/128 dev lo nodad\n" + "ip netns exec " + router +
                " sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1\n" +
                PodScript("a", 1) + PodScript("b", 2) + TwinScript() + "mkdir -p " + cgroup +
                "/pods/a " + cgroup + "/pods/b " + cgroup + "/pods/twin " + cgroup + "/agent " +
                cgroup + "/probe\n" + "mkdir -p /tmp/" + Tag() + "\nmount -t bpf " + Tag() +
                " /tmp/" + Tag() + "\n");
}

void Unmake() {
  const std::string cgroup = CgroupRoot() + "/" + Tag();
  Script("umount /tmp/" + Tag() + " || true\nrmdir /tmp/" + Tag() + " || true\n" +
         "for i in 1 2 3 4 5 6 7 8 9 10; do p=$(cat " + cgroup + "/cgroup.procs " + cgroup +
         "/*/cgroup.procs " + cgroup +
         "/pods/*/cgroup.procs 2>/dev/null || true); [ -z \"$p\" ] && break; kill -9 $p || true; "
         "sleep 0.1; done\n" +
         "for n in a b twin brief router; do ip netns del " + Tag() +
         "-$n 2>/dev/null || true; done\n" + "rmdir " + cgroup + "/pods/*/ " + cgroup + "/*/ " +
         cgroup + " || true\n");
}

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  _exit(127);
}

void EnterOrDie(const std::string& netns) {
  const int fd = open(NetnsPath(netns).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) Die("join namespace");
  close(fd);
}

void JoinOrDie(const Place& place) {
  std::ofstream procs(CgroupPath(place.cgroup) + "/cgroup.procs");
  procs << 0 << std::flush;
  if (!procs) Die("join cgroup");
  EnterOrDie(place.netns);
}

}  // namespace

Running::~Running() {
  if (pid_ > 0) Wait();
}

void Running::Kill() { kill(pid_, SIGKILL); }

std::string Running::Wait() {
  std::string text;
  for (;;) {
    pollfd ready = {output_.get(), POLLIN, 0};
    if (poll(&ready, 1, 5000) <= 0) {
      Kill();
      text += "[killed: no answer]";
      break;
    }
    char buffer[4096];
    const ssize_t size = read(output_.get(), buffer, sizeof buffer);
    if (size <= 0) break;
    text.append(buffer, static_cast<size_t>(size));
  }
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
  return text;
}

std::string NetnsPath(const std::string& name) { return "/run/netns/" + Tag() + "-" + name; }
std::string CgroupPath(const std::string& name) {
  return CgroupRoot() + (name.empty() ? "" : "/" + Tag() + "/" + name);
}
std::string PinDirectory() { return "/tmp/" + Tag() + "/groundwire/node.one/v1"; }
std::string BpfDirectory() {
  const char* set = std::getenv("GROUNDWIRE_BPF_DIRECTORY");
  return set != nullptr ? set : GROUNDWIRE_BPF_DIRECTORY;
}

Running Start(const Place& place, const std::function<std::string()>& act) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) std::perror("pipe2");
  std::cout.flush();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    // What the tests hold, sockets and the lock above all, is not this program's. Namespaces are:
    // the way home is one.
    for (int fd = 3; fd < 256; ++fd) {
      char target[16] = {};
      const std::string link = "/proc/self/fd/" + std::to_string(fd);
      if (readlink(link.c_str(), target, sizeof target - 1) < 0 || fd == ends[1]) continue;
      if (std::strncmp(target, "net:[", 5) != 0) close(fd);
    }
    JoinOrDie(place);
    const std::string text = act();
    WriteAll(ends[1], text);
    _exit(0);
  }
  close(ends[1]);
  return Running(pid, UniqueFd(ends[0]));
}

Running StartServer(const Place& place, const std::string& port,
                    const std::function<std::string()>& act) {
  Running server = Start(place, act);
  for (int tries = 0; tries < 100; ++tries) {
    if (!Shell(place.netns, "ss -ltunH sport = :" + port).empty()) return server;
    usleep(20'000);
  }
  check::Fail(__FILE__, __LINE__, "nothing listens on port " + port);
  return server;
}

std::string Run(const Place& place, const std::function<std::string()>& act) {
  return Start(place, act).Wait();
}

std::string Shell(const std::string& netns, const std::string& command) {
  return Output(netns.empty() ? command : "ip netns exec " + Tag() + "-" + netns + " " + command);
}

NodeCaptureOptions NodeOptions() {
  return {PinDirectory(), CgroupPath("pods"), CgroupPath("agent"), CgroupPath("probe"),
          BpfDirectory()};
}

PodCaptureOptions PodOptions(const std::string& name, bool dns) {
  const std::string index = name == "a" ? "1" : "2";
  return {name == "a" ? 1u : 2u,
          "pod." + name,
          NetnsPath(name),
          {*IpAddress::Parse("10.201.0." + index), *IpAddress::Parse("fd77:a::" + index)},
          dns};
}

Captured::Captured(bool dns) {
  auto opened = NodeCapture::Open(NodeOptions());
  CHECK_EQ(opened.status().ToString(), "ok");
  if (!opened.ok()) return;
  node = std::move(opened.value());
  for (auto* pod : {&a, &b}) {
    auto captured = node->CapturePod(PodOptions(pod == &a ? "a" : "b", dns));
    CHECK_EQ(captured.status().ToString(), "ok");
    if (captured.ok()) *pod = std::move(captured.value());
  }
  if (!ok()) return;
  auto counters = node->ReadCounters();
  CHECK_EQ(counters.status().ToString(), "ok");
  for (const auto& [name, value] : counters.value()) seen_[name] = value;
}

Captured::~Captured() {
  for (auto* pod : {&a, &b}) {
    if (*pod == nullptr) continue;
    CloseAll((*pod)->listeners());
    CHECK_EQ((*pod)->Release().ToString(), "ok");
  }
}

uint64_t Captured::Grown(const std::string& counter) {
  auto counters = node->ReadCounters();
  if (!counters.ok()) return 0;
  for (const auto& [name, value] : counters.value()) {
    if (name == counter) return value - std::exchange(seen_[name], value);
  }
  check::Fail(__FILE__, __LINE__, "no such counter: " + counter);
  return 0;
}

void CloseAll(const PodListeners& listeners) {
  for (const int fd : {listeners.outbound, listeners.inbound_plaintext, listeners.inbound_hbone,
                       listeners.dns_udp, listeners.dns_tcp}) {
    if (fd >= 0) close(fd);
  }
}

PodSockets& Sockets() {
  static const std::unique_ptr<PodSockets> sockets = MakePodSockets();
  return *sockets;
}

int Accept(int listener) {
  pollfd ready = {listener, POLLIN, 0};
  if (poll(&ready, 1, kPatienceMs) <= 0) return -1;
  return accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
}

std::string PeerOf(int fd) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return ErrnoName(errno);
  return SocketAddress::FromSockaddr(storage).ToString();
}

std::string LocalOf(int fd) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return ErrnoName(errno);
  return SocketAddress::FromSockaddr(storage).ToString();
}

std::string ReadAll(int fd) {
  std::string text;
  for (;;) {
    pollfd ready = {fd, POLLIN, 0};
    if (poll(&ready, 1, kPatienceMs) <= 0) return text + "[silence]";
    char buffer[4096];
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size < 0) return text + "[" + ErrnoName(errno) + "]";
    if (size == 0) return text;
    text.append(buffer, static_cast<size_t>(size));
  }
}

void WriteAll(int fd, const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t size = write(fd, text.data() + written, text.size() - written);
    if (size <= 0) return;
    written += static_cast<size_t>(size);
  }
}

std::string FinishConnect(int fd, const SocketAddress& to) {
  sockaddr_storage storage = {};
  const socklen_t length = to.ToSockaddr(to.family(), &storage);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&storage), length) == 0) return "";
  if (errno != EINPROGRESS) return ErrnoName(errno);
  pollfd ready = {fd, POLLOUT, 0};
  if (poll(&ready, 1, kPatienceMs) <= 0) return "ETIMEDOUT";
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? "" : ErrnoName(error);
}

int Connect(const std::string& to) {
  const SocketAddress address = *SocketAddress::Parse(to);
  // A bracketed mapped address asks for an IPv6 socket, as Java and Go make them.
  const int family = to.front() == '[' ? AF_INET6 : AF_INET;
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience = {2, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_storage storage = {};
  const socklen_t length = address.ToSockaddr(family, &storage);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&storage), length) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int Listen(const std::string& at, int backlog) {
  const SocketAddress address = *SocketAddress::Parse(at);
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage = {};
  const socklen_t length = address.ToSockaddr(address.family(), &storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0 ||
      listen(fd, backlog) != 0) {
    std::perror(("listen at " + at).c_str());
  }
  return fd;
}

std::string Visit(const std::string& to) {
  const int fd = Connect(to);
  if (fd < 0) return ErrnoName(errno);
  const std::string peer = PeerOf(fd);
  std::string local = LocalOf(fd);
  local.resize(local.rfind(':'));
  return "connected " + peer + " " + local + " " + ReadAll(fd);
}

std::string ErrnoName(int error) { return strerrorname_np(error); }

int RunInWorld(int argc, char** argv) {
  if (geteuid() != 0) {
    std::cout << "kernel tests need root: network namespaces, cgroups and eBPF are real here"
              << std::endl;
    return 1;
  }
  world_pid = getpid();
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&ends, signal);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const bool made = Make();
  int status = 1;
  const pid_t tests = made ? fork() : -1;
  if (tests == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &ends, nullptr);
    alarm(kWorldSeconds);
    EnterOrDie("router");
    std::exit(check::RunAll(argc > 1 ? argv[1] : ""));
  }
  if (tests > 0) {
    siginfo_t info = {};
    while (waitpid(tests, &status, WNOHANG) == 0) {
      if (sigwaitinfo(&ends, &info) != SIGCHLD) kill(tests, SIGKILL);
    }
    if (WIFSIGNALED(status)) std::cout << "tests ended by signal " << WTERMSIG(status) << std::endl;
  }
  Unmake();
  return made && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace groundwire::world

int main(int argc, char** argv) { return groundwire::world::RunInWorld(argc, argv); }
