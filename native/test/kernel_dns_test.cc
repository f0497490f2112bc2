// SPDX-License-Identifier: Apache-2.0
// DNS queries of a captured pod, and the answers that come from the server that was asked.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "check.h"
#include "kernel_world.h"

namespace groundwire::world {
namespace {

struct Query {
  SocketAddress client;
  SocketAddress asked;
  std::string text;
};

std::optional<Query> Receive(int listener) {
  pollfd ready = {listener, POLLIN, 0};
  if (poll(&ready, 1, 2000) <= 0) return std::nullopt;
  char text[512];
  alignas(cmsghdr) char control[256];
  sockaddr_storage from = {};
  iovec part = {text, sizeof text};
  msghdr message = {};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(listener, &message, 0);
  if (size < 0) return std::nullopt;
  Query query = {
      SocketAddress::FromSockaddr(from), {}, std::string(text, static_cast<size_t>(size))};
  for (cmsghdr* part_of = CMSG_FIRSTHDR(&message); part_of != nullptr;
       part_of = CMSG_NXTHDR(&message, part_of)) {
    if (part_of->cmsg_level != IPPROTO_IPV6 || part_of->cmsg_type != IPV6_PKTINFO) continue;
    in6_pktinfo info = {};
    std::memcpy(&info, CMSG_DATA(part_of), sizeof info);
    std::memcpy(query.asked.ip.bytes.data(), &info.ipi6_addr, sizeof info.ipi6_addr);
  }
  query.asked.port = 53;
  return query;
}

void Answer(int netns_fd, const Query& query, const std::string& text) {
  auto fd = Sockets().OpenDnsReplySocket(netns_fd, query.asked);
  CHECK_EQ(fd.status().ToString(), "ok");
  if (!fd.ok()) return;
  sockaddr_storage to = {};
  const socklen_t length = query.client.ToSockaddr(query.asked.family(), &to);
  CHECK_EQ(
      sendto(fd.value(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&to), length),
      static_cast<ssize_t>(text.size()));
  close(fd.value());
}

/// A resolver in the pod: asks, and says who answered what.
std::string Ask(const std::string& server, bool connected) {
  const SocketAddress to = *SocketAddress::Parse(server);
  const int fd = socket(to.family(), SOCK_DGRAM, 0);
  sockaddr_storage storage = {};
  socklen_t length = to.ToSockaddr(to.family(), &storage);
  if (connected && connect(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0)
    return ErrnoName(errno);
  const ssize_t sent = connected
                           ? send(fd, "who", 3, 0)
                           : sendto(fd, "who", 3, 0, reinterpret_cast<sockaddr*>(&storage), length);
  if (sent != 3) return ErrnoName(errno);
  pollfd ready = {fd, POLLIN, 0};
  if (poll(&ready, 1, 2000) <= 0) return "silence";
  char text[512];
  length = sizeof storage;
  const ssize_t size =
      recvfrom(fd, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&storage), &length);
  if (size < 0) return ErrnoName(errno);
  return SocketAddress::FromSockaddr(storage).ToString() + " says " +
         std::string(text, static_cast<size_t>(size));
}

TEST(
    "dns: connected and unconnected clients get the answer from the server they asked, IPv4 and "
    "IPv6") {
  Captured world;
  REQUIRE(world.ok());
  for (const std::string server : {"10.96.0.10:53", "[fd77:a::53]:53"}) {
    for (const bool connected : {true, false}) {
      Running client = Start(PodA(), [&] { return Ask(server, connected); });
      const auto query = Receive(world.a->listeners().dns_udp);
      CHECK(query.has_value());
      if (!query) continue;
      CHECK_EQ(query->asked.ToString(), server);
      CHECK_EQ(query->text, "who");
      Answer(world.a->netns_fd(), *query, "me");
      CHECK_EQ(client.Wait(), server + " says me");
    }
  }
  CHECK_EQ(world.Grown("steer_dns_udp"), 4u);
}

TEST("dns: TCP goes to its own listener") {
  Captured world;
  REQUIRE(world.ok());
  Running client = Start(PodA(), [] { return Visit("10.96.0.10:53"); });
  const int fd = Accept(world.a->listeners().dns_tcp);
  REQUIRE(fd >= 0);
  CHECK_EQ(LocalOf(fd), "10.96.0.10:53");
  WriteAll(fd, "me");
  close(fd);
  CHECK_EQ(client.Wait(), "connected 10.96.0.10:53 10.201.0.1 me");
  CHECK_EQ(world.Grown("steer_dns_tcp"), 1u);
}

/// A server that answers one datagram.
std::string AnswerOne(const std::string& at) {
  const SocketAddress address = *SocketAddress::Parse(at);
  const int fd = socket(address.family(), SOCK_DGRAM, 0);
  sockaddr_storage storage = {};
  socklen_t length = address.ToSockaddr(address.family(), &storage);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0) return ErrnoName(errno);
  char text[512];
  length = sizeof storage;
  if (recvfrom(fd, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&storage), &length) < 0)
    return ErrnoName(errno);
  sendto(fd, "real", 4, 0, reinterpret_cast<sockaddr*>(&storage), length);
  return "";
}

TEST("dns: a resolver on loopback and other UDP are left alone") {
  Captured world;
  REQUIRE(world.ok());
  Running stub = StartServer(PodA(), "53", [] { return AnswerOne("127.0.0.53:53"); });
  CHECK_EQ(Run(PodA(), [] { return Ask("127.0.0.53:53", false); }), "127.0.0.53:53 says real");
  CHECK(world.Grown("steer_self") > 0u);
  Running server = StartServer(PodB(), "5000", [] { return AnswerOne("10.201.0.2:5000"); });
  CHECK_EQ(Run(PodA(), [] { return Ask("10.201.0.2:5000", false); }), "10.201.0.2:5000 says real");
  CHECK(world.Grown("steer_udp_passed") > 0u);
}

/// The agent asks a resolver as the pod; what came back.
std::string AskAsPod(int netns_fd, const std::string& resolver) {
  const SocketAddress to = *SocketAddress::Parse(resolver);
  const auto opened = Sockets().OpenDnsQuerySocket(netns_fd, to.family());
  if (!opened.ok()) return opened.status().ToString();
  const UniqueFd fd(opened.value());
  sockaddr_storage storage = {};
  const socklen_t length = to.ToSockaddr(to.family(), &storage);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 ||
      send(fd.get(), "who", 3, 0) != 3) {
    return ErrnoName(errno);
  }
  pollfd ready = {fd.get(), POLLIN, 0};
  if (poll(&ready, 1, 5000) <= 0) return "silence";
  char text[512];
  const ssize_t size = recv(fd.get(), text, sizeof text, 0);
  return size < 0 ? ErrnoName(errno) : std::string(text, static_cast<size_t>(size));
}

TEST(
    "dns: the agent's own query leaves the pod, and its answer comes in, however strict rp_filter "
    "is") {
  Captured world;
  REQUIRE(world.ok());
  for (const std::string resolver : {"10.201.9.9:53", "[fd77:a::99]:53"}) {
    for (const std::string rp_filter : {"0", "1", "2"}) {
      Shell("a", "sysctl -qw net.ipv4.conf.eth0.rp_filter=" + rp_filter);
      Running server = StartServer(Router(), "53", [=] { return AnswerOne(resolver); });
      CHECK_EQ(AskAsPod(world.a->netns_fd(), resolver), "real");
      CHECK_EQ(server.Wait(), "");
    }
  }
  Shell("a", "sysctl -qw net.ipv4.conf.eth0.rp_filter=0");
  CHECK_EQ(world.Grown("steer_dns_udp"), 0u);
}

TEST("dns: an application that takes any free port is captured, also where all ports are free") {
  Captured world;
  REQUIRE(world.ok());
  const std::string before = Shell("a", "sysctl -n net.ipv4.ip_local_port_range");
  // Only the agent's ports and one more: whoever asks for any port gets that one.
  Shell("a", "sysctl -qw net.ipv4.ip_local_port_range='60999 64999'");
  Running client = Start(PodA(), [] { return Ask("10.96.0.10:53", true); });
  const auto query = Receive(world.a->listeners().dns_udp);
  Shell("a",
        "sysctl -qw net.ipv4.ip_local_port_range='" + before.substr(0, before.find('\n')) + "'");
  CHECK(query.has_value());
  if (!query) return;
  CHECK_EQ(query->client.port, 60999);
  Answer(world.a->netns_fd(), *query, "me");
  CHECK_EQ(client.Wait(), "10.96.0.10:53 says me");
}

TEST("dns: a pod that keeps its own DNS asks its server") {
  Captured world(false);
  REQUIRE(world.ok());
  CHECK_EQ(world.a->listeners().dns_udp, -1);
  Running server = StartServer(Router(), "53", [] { return AnswerOne("10.201.9.9:53"); });
  CHECK_EQ(Run(PodA(), [] { return Ask("10.201.9.9:53", true); }), "10.201.9.9:53 says real");
}

}  // namespace
}  // namespace groundwire::world
