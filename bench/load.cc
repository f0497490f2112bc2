// SPDX-License-Identifier: Apache-2.0
//
// The load generator of the benchmark and of the tests: real sockets, bounded in time, one line of
// JSON as its result.
//
//   load serve ADDRESS PORT                       PORT swallows blocks, PORT+1 echoes; until killed
//   load throughput ADDRESS PORT STREAMS SECONDS  Gbit/s that the server has acknowledged
//   load latency ADDRESS PORT RATE SECONDS        round trip of 64 bytes at RATE a second: p50, p99 in microseconds
//   load connects ADDRESS PORT THREADS SECONDS    connect, 64 bytes there and back, reset: how many a second
//   load idle ADDRESS PORT COUNT                  holds COUNT connections; each line on stdin has every one of them tried
//                                                 with one byte there and back and prints how many answered
//
// `throughput` wants the swallowing port, the others the echoing one.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// A block's first byte says whether another follows; so the server knows the end without a
// half-close, which not every proxy carries through TLS.
constexpr size_t kBlockBytes = 128 * 1024;
constexpr uint8_t kMore = 1;
constexpr uint8_t kLast = 2;
constexpr size_t kMessageBytes = 64;
constexpr int kConnectTimeoutSeconds = 10;
// The first trips make the path (tunnel, verdict, caches), and a proxy that has just carried bulk
// is not yet at the low rate that is asked for.
constexpr double kWarmUpSeconds = 1;

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Endpoint ParseEndpoint(const char* address, int port) {
  Endpoint endpoint;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&endpoint.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&endpoint.storage);
  if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    endpoint.length = sizeof(*v4);
  } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    endpoint.length = sizeof(*v6);
  } else {
    std::fprintf(stderr, "load: %s is not an IP address\n", address);
    std::exit(64);
  }
  return endpoint;
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/// A connected socket whose every call is bounded in time, or -1 with errno.
int Connect(const Endpoint& to) {
  const int fd = socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const timeval timeout{kConnectTimeoutSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.length) != 0) {
    const int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  SetNoDelay(fd);
  return fd;
}

bool SendAll(int fd, const void* data, size_t length) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (length > 0) {
    const ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    length -= static_cast<size_t>(sent);
  }
  return true;
}

bool ReceiveAll(int fd, void* data, size_t length) {
  auto* bytes = static_cast<uint8_t*>(data);
  while (length > 0) {
    const ssize_t received = recv(fd, bytes, length, 0);
    if (received <= 0) return false;
    bytes += received;
    length -= static_cast<size_t>(received);
  }
  return true;
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- serve
// -----------------------------------------------------------------------------------------------------------

struct ServedConnection {
  bool echo = false;
  bool last_block_begun = false;
  uint64_t received = 0;
};

int Listen(const char* address, int port) {
  const Endpoint endpoint = ParseEndpoint(address, port);
  const int fd = socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (bind(fd, reinterpret_cast<const sockaddr*>(&endpoint.storage), endpoint.length) != 0)
    Die("bind");
  if (listen(fd, 4096) != 0) Die("listen");
  return fd;
}

/// Returns false when the connection is over.
bool Swallow(int fd, ServedConnection* connection, std::vector<uint8_t>* buffer) {
  const ssize_t length = recv(fd, buffer->data(), buffer->size(), 0);
  if (length <= 0) return length < 0 && errno == EAGAIN;
  const uint64_t before = connection->received;
  connection->received += static_cast<uint64_t>(length);
  const uint64_t first_block = (before + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  for (uint64_t at = first_block; at < connection->received; at += kBlockBytes) {
    if ((*buffer)[at - before] == kLast) connection->last_block_begun = true;
  }
  if (!connection->last_block_begun || connection->received % kBlockBytes != 0) return true;
  // The client closes when it has read the total.
  connection->last_block_begun = false;
  return SendAll(fd, &connection->received, sizeof(connection->received));
}

bool Echo(int fd, std::vector<uint8_t>* buffer) {
  const ssize_t length = recv(fd, buffer->data(), kMessageBytes * 16, 0);
  if (length <= 0) return length < 0 && errno == EAGAIN;
  return SendAll(fd, buffer->data(), static_cast<size_t>(length));
}

void ServeLoop(const char* address, int port) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  const int swallow = Listen(address, port);
  const int echo = Listen(address, port + 1);
  for (const int listener : {swallow, echo}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener;
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  }
  std::map<int, ServedConnection> connections;
  std::vector<uint8_t> buffer(256 * 1024);
  std::array<epoll_event, 256> events{};
  for (;;) {
    const int count = epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == swallow || fd == echo) {
        const int accepted = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) continue;
        SetNoDelay(accepted);
        connections[accepted] = ServedConnection{.echo = fd == echo};
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = accepted;
        epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
        continue;
      }
      ServedConnection& connection = connections[fd];
      if (!(connection.echo ? Echo(fd, &buffer) : Swallow(fd, &connection, &buffer))) {
        connections.erase(fd);
        close(fd);
      }
    }
  }
}

int Serve(const char* address, int port) {
  std::thread second(ServeLoop, address, port);
  ServeLoop(address, port);
  second.join();
  return 0;
}

// ---- clients
// ---------------------------------------------------------------------------------------------------------

int Throughput(const Endpoint& to, int streams, double seconds) {
  std::vector<int> fds;
  for (int i = 0; i < streams; ++i) {
    const int fd = Connect(to);
    if (fd < 0) Die("connect");
    fds.push_back(fd);
  }
  std::atomic<uint64_t> acknowledged{0};
  std::atomic<int> failed{0};
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (const int fd : fds) {
    threads.emplace_back([&, fd] {
      std::vector<uint8_t> block(kBlockBytes, 0x5a);
      block[0] = kMore;
      bool ok = true;
      while (ok && SecondsSince(start) < seconds) ok = SendAll(fd, block.data(), block.size());
      block[0] = kLast;
      uint64_t total = 0;
      ok = ok && SendAll(fd, block.data(), block.size()) && ReceiveAll(fd, &total, sizeof(total));
      if (ok) {
        acknowledged += total;
      } else {
        ++failed;
      }
      close(fd);
    });
  }
  for (auto& thread : threads) thread.join();
  const double elapsed = SecondsSince(start);
  const auto bytes = static_cast<double>(acknowledged.load());
  std::printf("{\"gbitPerSecond\":%.4f,\"bytes\":%.0f,\"seconds\":%.4f,\"failed\":%d}\n",
              bytes * 8 / elapsed / 1e9, bytes, elapsed, failed.load());
  return failed == 0 ? 0 : 1;
}

double Percentile(const std::vector<double>& sorted, double fraction) {
  return sorted[std::min(sorted.size() - 1,
                         static_cast<size_t>(fraction * static_cast<double>(sorted.size())))];
}

int Latency(const Endpoint& to, double rate, double seconds) {
  const int fd = Connect(to);
  if (fd < 0) Die("connect");
  std::array<uint8_t, kMessageBytes> message{};
  std::vector<double> microseconds;
  const auto interval =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1.0 / rate));
  const auto start = Clock::now();
  auto next = start;
  while (SecondsSince(start) < kWarmUpSeconds + seconds) {
    next = std::max(next + interval, Clock::now());
    std::this_thread::sleep_until(next);
    const auto sent = Clock::now();
    if (!SendAll(fd, message.data(), message.size()) ||
        !ReceiveAll(fd, message.data(), message.size()))
      Die("round trip");
    if (SecondsSince(start) > kWarmUpSeconds) microseconds.push_back(SecondsSince(sent) * 1e6);
  }
  close(fd);
  if (microseconds.empty()) return 1;
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("{\"p50\":%.2f,\"p99\":%.2f,\"count\":%zu}\n", Percentile(microseconds, 0.5),
              Percentile(microseconds, 0.99), microseconds.size());
  return 0;
}

int Connects(const Endpoint& to, int thread_count, double seconds) {
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> failed{0};
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; ++i) {
    threads.emplace_back([&] {
      std::array<uint8_t, kMessageBytes> message{};
      while (SecondsSince(start) < seconds) {
        const int fd = Connect(to);
        const bool ok = fd >= 0 && SendAll(fd, message.data(), message.size()) &&
                        ReceiveAll(fd, message.data(), message.size());
        ++(ok ? done : failed);
        if (fd < 0) continue;
        const linger reset{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::printf("{\"connectsPerSecond\":%.1f,\"failed\":%llu}\n",
              static_cast<double>(done.load()) / SecondsSince(start),
              static_cast<unsigned long long>(failed.load()));
  return done > 0 ? 0 : 1;
}

int Idle(const Endpoint& to, int count) {
  std::vector<int> fds;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    const int fd = Connect(to);
    if (fd < 0) {
      ++failed;
    } else {
      fds.push_back(fd);
    }
  }
  const auto try_all = [&] {
    size_t answered = 0;
    for (const int fd : fds) {
      uint8_t byte = 7;
      if (SendAll(fd, &byte, 1) && ReceiveAll(fd, &byte, 1) && byte == 7) ++answered;
    }
    std::printf("{\"open\":%zu,\"failed\":%d,\"answered\":%zu}\n", fds.size(), failed, answered);
    std::fflush(stdout);
  };
  try_all();
  std::string line;
  while (std::getline(std::cin, line)) try_all();
  for (const int fd : fds) close(fd);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "serve" && argc == 4) return Serve(argv[2], std::atoi(argv[3]));
  if (mode == "throughput" && argc == 6) {
    return Throughput(ParseEndpoint(argv[2], std::atoi(argv[3])), std::atoi(argv[4]),
                      std::atof(argv[5]));
  }
  if (mode == "latency" && argc == 6) {
    return Latency(ParseEndpoint(argv[2], std::atoi(argv[3])), std::atof(argv[4]),
                   std::atof(argv[5]));
  }
  if (mode == "connects" && argc == 6) {
    return Connects(ParseEndpoint(argv[2], std::atoi(argv[3])), std::atoi(argv[4]),
                    std::atof(argv[5]));
  }
  if (mode == "idle" && argc == 5)
    return Idle(ParseEndpoint(argv[2], std::atoi(argv[3])), std::atoi(argv[4]));
  std::fprintf(
      stderr,
      "usage: load serve ADDRESS PORT | throughput ADDRESS PORT STREAMS SECONDS |\n"
      "       latency ADDRESS PORT RATE SECONDS | connects ADDRESS PORT THREADS SECONDS |\n"
      "       idle ADDRESS PORT COUNT\n");
  return 64;
}
