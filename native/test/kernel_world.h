// SPDX-License-Identifier: Apache-2.0
// A small real world for kernel tests: two pods and a router as network namespaces, joined by
// veths, with cgroups and a bpffs of their own. The test process plays the agent, and the router
// its node: it lives in that namespace. Everything
// carries the prefix gwa- and the process id, and goes away with the world, also when the tests
// crash or are killed.
//
//   pod a 10.201.0.1 fd77:a::1 ── router 10.201.9.9 fd77:a::99 ── pod b 10.201.0.2 fd77:a::2
//   pod twin 10.201.0.1, joined to nothing
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "capture/capture.h"
#include "capture/pod_sockets.h"

namespace groundwire::world {

/// What a program in a pod did, told as text: "" or what it printed, or "errno NAME".
class Running {
 public:
  Running(pid_t pid, UniqueFd output) : pid_(pid), output_(std::move(output)) {}
  Running(Running&& other) noexcept : pid_(other.pid_), output_(std::move(other.output_)) {
    other.pid_ = 0;
  }
  ~Running();
  /// Its answer; kills it after five seconds.
  std::string Wait();
  pid_t pid() const { return pid_; }
  void Kill();

 private:
  pid_t pid_;
  UniqueFd output_;
};

/// Where a program runs: a namespace by name ("a", "b", "twin", "router") and a cgroup ("pods/a",
/// "agent", "probe", "").
struct Place {
  std::string netns;
  std::string cgroup;
};
inline Place PodA() { return {"a", "pods/a"}; }
inline Place PodB() { return {"b", "pods/b"}; }
inline Place Router() { return {"router", ""}; }

std::string NetnsPath(const std::string& name);
std::string CgroupPath(const std::string& name);
std::string PinDirectory();
std::string BpfDirectory();

/// Forks a process there that does `act` and tells what it returned.
Running Start(const Place& place, const std::function<std::string()>& act);
/// The same for a program that listens; returns when something in that namespace listens on the
/// port.
Running StartServer(const Place& place, const std::string& port,
                    const std::function<std::string()>& act);
std::string Run(const Place& place, const std::function<std::string()>& act);
/// A command line through the shell in that namespace ("" is the one of the tests); its output.
std::string Shell(const std::string& netns, const std::string& command);

NodeCaptureOptions NodeOptions();
PodCaptureOptions PodOptions(const std::string& name, bool dns = true);

/// Pod a and b captured, as most tests want it. Failing to is a failed check, and `ok()` is false.
class Captured {
 public:
  explicit Captured(bool dns = true);
  ~Captured();
  bool ok() const { return a != nullptr && b != nullptr; }
  /// How much a counter has grown since the last call for it (or since capture).
  uint64_t Grown(const std::string& counter);

  std::unique_ptr<NodeCapture> node;
  std::unique_ptr<PodCapture> a, b;

 private:
  std::map<std::string, uint64_t> seen_;
};

/// The listeners belong to whoever captures; these tests have no engine that would close them.
void CloseAll(const PodListeners& listeners);

/// As a worker opens them.
PodSockets& Sockets();

/// Accepts within two seconds; -1 when nobody came.
int Accept(int listener);
std::string PeerOf(int fd);
std::string LocalOf(int fd);
/// Reads until the end or two seconds without a byte.
std::string ReadAll(int fd);
void WriteAll(int fd, const std::string& text);
/// Waits for a non-blocking connect: "" or the errno's name.
std::string FinishConnect(int fd, const SocketAddress& to);

/// Called by programs in pods. A TCP connection to `to`; -1 and errno.
int Connect(const std::string& to);
int Listen(const std::string& at, int backlog = 16);
/// "connected PEER LOCAL READ": connects, says what getpeername and getsockname say, and what it
/// read to the end.
std::string Visit(const std::string& to);
std::string ErrnoName(int error);

/// Makes the world, runs the tests in a child, unmakes it.
int RunInWorld(int argc, char** argv);

}  // namespace groundwire::world
