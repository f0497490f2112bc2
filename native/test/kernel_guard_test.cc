// SPDX-License-Identifier: Apache-2.0
// The ways around capture that we know of. Each is tried twice: in a pod that is not captured, where
// it has to bring its words onto the cable, or it would prove nothing, and in one that is, where
// none of them may. docs/security.md names these tests.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "kernel/netns.h"
#include "kernel_world.h"
#include "mesh_abi.h"

namespace groundwire::world {
namespace {

constexpr char kWords[] = "in-plaintext-on-the-cable";
constexpr uid_t kNobodyUid = 65534;
constexpr int kTcpRepairWindow = 29;
constexpr int kTcpRepairOffNoProbe = -1;
constexpr int kTcpFastopenConnect = 30;
constexpr int kTcpFastopenNoCookie = 34;
constexpr int kSoBindToIfindex = 62;
constexpr int kPacketVnetHdr = 15;
constexpr int kPacketQdiscBypass = 20;
constexpr int kIpUnicastIf = 50;
constexpr int kIpv6UnicastIf = 76;

/// What pod b's own device brings in: seen before anything in that pod can look at it.
class Cable {
 public:
  Cable() {
    const int netns = open(NetnsPath("b").c_str(), O_RDONLY | O_CLOEXEC);
    auto opened = SocketInNetns(netns, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
    close(netns);
    CHECK_EQ(opened.status().ToString(), "ok");
    if (opened.ok()) fd_ = std::move(opened.value());
  }
  bool Brought(const std::string& words) {
    bool found = false;
    std::array<char, 65536> frame = {};
    for (ssize_t size = 0; (size = recv(fd_.get(), frame.data(), frame.size(), 0)) > 0;) {
      const std::string_view text(frame.data(), static_cast<size_t>(size));
      found = found || text.find(words) != std::string_view::npos;
    }
    return found;
  }

 private:
  UniqueFd fd_;
};

/// Where an attempt goes, as one family says it.
struct Aim {
  int family;
  SocketAddress to;
  IpAddress own;
};

Aim AimAt(int family) {
  return family == AF_INET ? Aim{family, *SocketAddress::Parse("10.201.0.2:7100"),
                                 *IpAddress::Parse("10.201.0.1")}
                           : Aim{family, *SocketAddress::Parse("[fd77:a::2]:7100"),
                                 *IpAddress::Parse("fd77:a::1")};
}

using Attempt = void (*)(const Aim& aim);
enum class As { kRoot, kNobody };

void DropPrivileges() {
  if (setgroups(0, nullptr) != 0 || setresgid(kNobodyUid, kNobodyUid, kNobodyUid) != 0 ||
      setresuid(kNobodyUid, kNobodyUid, kNobodyUid) != 0) {
    std::perror("drop privileges");
    _exit(127);
  }
}

std::vector<uint8_t> RouterMac();

/// Whether the words of the attempt came out of pod a.
bool ComesOut(const Place& place, As as, Attempt attempt, int family) {
  (void)RouterMac();
  Cable cable;
  Run(place, [&] {
    if (as == As::kNobody) DropPrivileges();
    attempt(AimAt(family));
    return std::string();
  });
  usleep(50'000);
  return cable.Brought(kWords);
}

Running ServeBoth() {
  return StartServer(PodB(), "7100", [] {
    const int listener = Listen("[::]:7100");
    for (;;) accept(listener, nullptr, nullptr);
    return std::string();
  });
}

struct Trial {
  As as = As::kRoot;
  std::vector<int> families = {AF_INET, AF_INET6};
  Place place = PodA();
  /// The guard's counter that has to rise; "" where an earlier line holds.
  std::string counted = "";
};

void HoldsAgainst(Attempt attempt, const Trial& trial) {
  Running server = ServeBoth();
  for (const int family : trial.families) {
    CHECK_EQ(ComesOut(trial.place, trial.as, attempt, family), true);
  }
  Captured world;
  REQUIRE(world.ok());
  for (const int family : trial.families) {
    CHECK_EQ(ComesOut(trial.place, trial.as, attempt, family), false);
    if (!trial.counted.empty()) CHECK(world.Grown(trial.counted) > 0);
  }
  server.Kill();
}

// === What the attempts are made of

int Stream(const Aim& aim, int protocol = 0) {
  const int fd = socket(aim.family, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  const timeval patience = {0, 300'000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

void ConnectTo(int fd, const Aim& aim, const SocketAddress& to) {
  sockaddr_storage storage = {};
  const socklen_t length = to.ToSockaddr(aim.family, &storage);
  (void)connect(fd, reinterpret_cast<const sockaddr*>(&storage), length);
}

int Open(const Aim& aim, int protocol = 0) {
  const int fd = Stream(aim, protocol);
  ConnectTo(fd, aim, aim.to);
  return fd;
}

void Say(int fd) {
  (void)send(fd, kWords, sizeof kWords, MSG_NOSIGNAL);
  usleep(30'000);
}

void Set(int fd, int level, int option, int value) {
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

void BindToEth0(int fd) { (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5); }

/// A connect whose SYN leaves with the first words.
int OpenDeferred(const Aim& aim) {
  const int fd = Stream(aim);
  Set(fd, IPPROTO_TCP, kTcpFastopenNoCookie, 1);
  Set(fd, IPPROTO_TCP, kTcpFastopenConnect, 1);
  ConnectTo(fd, aim, aim.to);
  return fd;
}

uint16_t Sum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
  }
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

/// A SYN from port 44444 that carries the words. The checksum is the receiver's business: nobody
/// has to take it, it has to be on the cable.
std::vector<uint8_t> Segment(const Aim& aim) {
  tcphdr header = {};
  header.source = htons(44444);
  header.dest = htons(aim.to.port);
  header.doff = sizeof header / 4;
  header.syn = 1;
  header.window = htons(65535);
  std::vector<uint8_t> bytes(sizeof header + sizeof kWords);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, kWords, sizeof kWords);
  return bytes;
}

void Append(std::vector<uint8_t>* to, const IpAddress& address) {
  to->insert(to->end(), address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end());
}

struct V4Field {
  uint16_t fragment = 0;
  uint16_t length = 0;  // 0 = what it is
};

std::vector<uint8_t> Packet(const Aim& aim, const IpAddress& from,
                            const std::vector<uint8_t>& inner, V4Field field = {}) {
  std::vector<uint8_t> packet;
  if (aim.family == AF_INET) {
    const auto length =
        static_cast<uint16_t>(field.length != 0 ? field.length : sizeof(iphdr) + inner.size());
    packet = {0x45,
              0,
              static_cast<uint8_t>(length >> 8),
              static_cast<uint8_t>(length),
              0,
              1,
              static_cast<uint8_t>(field.fragment >> 8),
              static_cast<uint8_t>(field.fragment),
              64,
              IPPROTO_TCP,
              0,
              0};
    Append(&packet, from);
    Append(&packet, aim.to.ip);
    const uint16_t sum = Sum(packet);
    packet[10] = static_cast<uint8_t>(sum >> 8);
    packet[11] = static_cast<uint8_t>(sum);
  } else {
    packet = {0x60,
              0,
              0,
              0,
              static_cast<uint8_t>(inner.size() >> 8),
              static_cast<uint8_t>(inner.size()),
              IPPROTO_TCP,
              64};
    Append(&packet, from);
    Append(&packet, aim.to.ip);
  }
  packet.insert(packet.end(), inner.begin(), inner.end());
  return packet;
}

/// Of the router's end of pod a's cable, asked before anybody is in a pod.
std::vector<uint8_t> RouterMac() {
  static const std::vector<uint8_t> mac = [] {
    std::array<unsigned, 6> bytes = {};
    std::sscanf(Shell("router", "cat /sys/class/net/va/address").c_str(), "%x:%x:%x:%x:%x:%x",
                &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5]);
    return std::vector<uint8_t>(bytes.begin(), bytes.end());
  }();
  return mac;
}

/// Into the device's own queue, as a frame to the router.
void SendFrame(const Aim& aim, const std::vector<uint8_t>& packet, int option, int value,
               const std::vector<uint8_t>& before = {}, const char* device = "eth0") {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (option != 0) Set(fd, SOL_PACKET, option, value);
  std::vector<uint8_t> frame = before;
  const std::vector<uint8_t> router = RouterMac();
  frame.insert(frame.end(), router.begin(), router.end());
  frame.insert(frame.end(), {2, 0, 0, 0, 0, 1});
  const uint16_t type = aim.family == AF_INET ? ETH_P_IP : ETH_P_IPV6;
  frame.insert(frame.end(), {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type)});
  frame.insert(frame.end(), packet.begin(), packet.end());
  sockaddr_ll at = {};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(type);
  at.sll_ifindex = static_cast<int>(if_nametoindex(device));
  (void)sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&at), sizeof at);
}

void WriteFile(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text.data(), text.size()) < 0) std::perror(path);
  close(fd);
}

// === Attempts

void Plainly(const Aim& aim) { Say(Open(aim)); }

void BindOpenConnection(const Aim& aim) {
  const int fd = Open(aim);
  BindToEth0(fd);
  Say(fd);
}

void BindOpenConnectionByIndex(const Aim& aim) {
  const int fd = Open(aim);
  Set(fd, SOL_SOCKET, kSoBindToIfindex, static_cast<int>(if_nametoindex("eth0")));
  Say(fd);
}

void BindDeferredConnection(const Aim& aim) {
  const int fd = OpenDeferred(aim);
  BindToEth0(fd);
  Say(fd);
}

void UnmarkOpenConnection(const Aim& aim) {
  const int fd = Open(aim);
  Set(fd, SOL_SOCKET, SO_MARK, 0);
  Say(fd);
}

void UnmarkDeferredConnection(const Aim& aim) {
  const int fd = OpenDeferred(aim);
  Set(fd, SOL_SOCKET, SO_MARK, 0);
  Say(fd);
}

void UnmarkMultipath(const Aim& aim) {
  const int fd = Open(aim, IPPROTO_MPTCP);
  Set(fd, SOL_SOCKET, SO_MARK, 0);
  Say(fd);
}

void UnmarkRepaired(const Aim& aim) {
  const int fd = Stream(aim);
  Set(fd, IPPROTO_TCP, TCP_REPAIR, 1);
  ConnectTo(fd, aim, aim.to);
  // The peer is said to take 64 KiB: without that nothing would be sent.
  const std::array<uint32_t, 5> window = {0, 65535, 65535, 65535, 0};
  (void)setsockopt(fd, IPPROTO_TCP, kTcpRepairWindow, window.data(), sizeof window);
  Set(fd, SOL_SOCKET, SO_MARK, 0);
  // Without the probe of the window, whose answer would be a reset.
  Set(fd, IPPROTO_TCP, TCP_REPAIR, kTcpRepairOffNoProbe);
  Say(fd);
}

/// To itself by way of somebody else: the hook sees the pod's own address.
void RouteThroughOther(const Aim& aim) {
  const int fd = Stream(aim);
  Set(fd, IPPROTO_TCP, kTcpFastopenNoCookie, 1);
  if (aim.family == AF_INET6) {
    // A segment routing header, which anybody may use: RFC 8754, two addresses, the last one first.
    std::vector<uint8_t> header = {0, 4, 4, 1, 1, 0, 0, 0};
    Append(&header, aim.own);
    Append(&header, aim.to.ip);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, header.data(),
                     static_cast<socklen_t>(header.size()));
  } else {
    std::vector<uint8_t> route = {IPOPT_NOP, IPOPT_LSRR, 7, 4};
    Append(&route, aim.to.ip);
    (void)setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route.data(),
                     static_cast<socklen_t>(route.size()));
  }
  sockaddr_storage storage = {};
  const socklen_t length = SocketAddress{aim.own, 7100}.ToSockaddr(aim.family, &storage);
  (void)sendto(fd, kWords, sizeof kWords, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&storage),
               length);
}

void WriteRaw(const Aim& aim) {
  const int fd = socket(aim.family, SOCK_RAW, IPPROTO_RAW);
  const std::vector<uint8_t> packet = Packet(aim, aim.own, Segment(aim));
  sockaddr_storage storage = {};
  const socklen_t length = SocketAddress{aim.to.ip, 0}.ToSockaddr(aim.family, &storage);
  (void)sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&storage), length);
}

/// The words in the second fragment, where there is no TCP header.
void WriteRawFragments(const Aim& aim) {
  const int fd = socket(aim.family, SOCK_RAW, IPPROTO_RAW);
  const std::vector<uint8_t> segment = Segment(aim);
  sockaddr_storage storage = {};
  const socklen_t length = SocketAddress{aim.to.ip, 0}.ToSockaddr(aim.family, &storage);
  const std::vector<uint8_t> first(segment.begin(), segment.begin() + 16);
  const std::vector<uint8_t> second(segment.begin() + 16, segment.end());
  for (const auto& [part, fragment] : {std::pair(first, uint16_t{0x2000}), {second, uint16_t{2}}}) {
    const std::vector<uint8_t> packet = Packet(aim, aim.own, part, {.fragment = fragment});
    (void)sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&storage),
                 length);
  }
}

void WriteFrame(const Aim& aim) { SendFrame(aim, Packet(aim, aim.own, Segment(aim)), 0, 0); }

/// To be cut into segments by whoever sends it on, with a length that owns up to no data.
void WriteLyingFrame(const Aim& aim) {
  std::vector<uint8_t> segment = Segment(aim);
  segment[13] = 0x18;  // PSH, ACK
  segment.insert(segment.end(), 500, 'x');
  // struct virtio_net_hdr: checksum wanted, TCPv4, 54 bytes of headers, segments of 100.
  const std::vector<uint8_t> offload = {1, 1, 54, 0, 100, 0, 34, 0, 16, 0};
  SendFrame(aim, Packet(aim, aim.own, segment, {.length = 40}), kPacketVnetHdr, 1, offload);
}

void WriteFramePastTheQueue(const Aim& aim) {
  SendFrame(aim, Packet(aim, aim.own, Segment(aim)), kPacketQdiscBypass, 1);
}

/// What the kernel takes from the device and forwards, as it would for a namespace behind the pod.
void ForwardThroughTun(const Aim& aim) {
  WriteFile("/proc/sys/net/ipv4/ip_forward", "1");
  WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq device = {};
  std::strcpy(device.ifr_name, "behind");
  device.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, &device) != 0) std::perror("TUNSETIFF");
  if (std::system("ip link set behind up; ip addr add 10.201.66.1/24 dev behind; "
                  "ip addr add fd77:66::1/64 dev behind nodad") != 0) {
    return;
  }
  const IpAddress from = *IpAddress::Parse(aim.family == AF_INET ? "10.201.66.2" : "fd77:66::2");
  const std::vector<uint8_t> packet = Packet(aim, from, Segment(aim));
  if (write(fd, packet.data(), packet.size()) < 0) std::perror("write tun");
  usleep(30'000);
}

void RemoveRules(const Aim& aim) {
  (void)std::system(
      "for f in -4 -6; do for p in 471 472 475 476; do ip $f rule del pref $p; done; done "
      "2>/dev/null");
  Say(Open(aim));
}

void ChooseDeviceByOption(const Aim& aim) {
  const int fd = Open(aim);
  const int index = static_cast<int>(if_nametoindex("eth0"));
  if (aim.family == AF_INET) {
    Set(fd, IPPROTO_IP, kIpUnicastIf, static_cast<int>(htonl(static_cast<uint32_t>(index))));
    const in_pktinfo info = {.ipi_ifindex = index, .ipi_spec_dst = {}, .ipi_addr = {}};
    (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  } else {
    Set(fd, IPPROTO_IPV6, kIpv6UnicastIf, static_cast<int>(htonl(static_cast<uint32_t>(index))));
    const in6_pktinfo info = {.ipi6_addr = {}, .ipi6_ifindex = static_cast<unsigned>(index)};
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  }
  Say(fd);
}

void Reconnect(const Aim& aim) {
  const int fd = Stream(aim);
  ConnectTo(fd, aim, {*IpAddress::Parse(aim.family == AF_INET ? "127.0.0.1" : "::1"), 9});
  const sockaddr nowhere = {.sa_family = AF_UNSPEC, .sa_data = {}};
  (void)connect(fd, &nowhere, sizeof nowhere);
  ConnectTo(fd, aim, aim.to);
  Say(fd);
}

void BorrowAddress(const Aim& aim) {
  const int fd = Stream(aim);
  if (aim.family == AF_INET) {
    Set(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
  } else {
    Set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
  }
  sockaddr_storage storage = {};
  const SocketAddress borrowed = {
      *IpAddress::Parse(aim.family == AF_INET ? "10.201.0.77" : "fd77:a::77"), 0};
  const socklen_t length = borrowed.ToSockaddr(aim.family, &storage);
  (void)bind(fd, reinterpret_cast<sockaddr*>(&storage), length);
  Set(fd, IPPROTO_TCP, kTcpFastopenNoCookie, 1);
  const socklen_t to = aim.to.ToSockaddr(aim.family, &storage);
  (void)sendto(fd, kWords, sizeof kWords, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&storage), to);
}

void OpenFast(const Aim& aim) {
  const int fd = Stream(aim);
  Set(fd, IPPROTO_TCP, kTcpFastopenNoCookie, 1);
  sockaddr_storage storage = {};
  const socklen_t to = aim.to.ToSockaddr(aim.family, &storage);
  (void)sendto(fd, kWords, sizeof kWords, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&storage), to);
}

void Multipath(const Aim& aim) { Say(Open(aim, IPPROTO_MPTCP)); }

/// An IPv6 socket to an IPv4 destination, unmarked.
void UnmarkMapped(const Aim& aim) {
  Aim mapped = aim;
  mapped.family = AF_INET6;
  UnmarkOpenConnection(mapped);
}

/// One call at a time through io_uring, carried out by a worker of the kernel's.
class Ring {
 public:
  Ring() {
    io_uring_params params = {};
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 1, &params));
    if (fd_ < 0) {
      std::perror("io_uring_setup");
      _exit(127);
    }
    auto* ring = static_cast<char*>(mmap(nullptr, params.cq_off.cqes + 4096, PROT_READ | PROT_WRITE,
                                         MAP_SHARED, fd_, IORING_OFF_SQ_RING));
    entry_ = static_cast<io_uring_sqe*>(
        mmap(nullptr, sizeof *entry_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, IORING_OFF_SQES));
    reinterpret_cast<unsigned*>(ring + params.sq_off.array)[0] = 0;
    tail_ = reinterpret_cast<unsigned*>(ring + params.sq_off.tail);
  }
  void Do(io_uring_sqe entry) {
    entry.flags = IOSQE_ASYNC;
    *entry_ = entry;
    __atomic_fetch_add(tail_, 1, __ATOMIC_RELEASE);
    (void)syscall(SYS_io_uring_enter, fd_, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
    usleep(100'000);
  }

 private:
  int fd_ = -1;
  io_uring_sqe* entry_ = nullptr;
  unsigned* tail_ = nullptr;
};

void ConnectByRing(const Aim& aim) {
  const int fd = Stream(aim);
  sockaddr_storage storage = {};
  const socklen_t length = aim.to.ToSockaddr(aim.family, &storage);
  io_uring_sqe connect = {};
  connect.opcode = IORING_OP_CONNECT;
  connect.fd = fd;
  connect.addr = reinterpret_cast<uintptr_t>(&storage);
  connect.off = length;
  Ring().Do(connect);
  Say(fd);
}

/// A device of its own upon that of the pod.
void WriteFrameOnMacvlan(const Aim& aim) {
  (void)std::system(
      "ip link add link eth0 name upon type macvlan mode bridge 2>/dev/null; "
      "ip link set upon up");
  SendFrame(aim, Packet(aim, aim.own, Segment(aim)), 0, 0, {}, "upon");
}

// === Held by the hook on connect(): nothing new here, each was a question once

TEST("guard: nothing comes out by an ordinary connection") {
  HoldsAgainst(Plainly, {.as = As::kNobody});
}
TEST("guard: nothing comes out by fast open") { HoldsAgainst(OpenFast, {.as = As::kNobody}); }
TEST("guard: nothing comes out by multipath TCP") { HoldsAgainst(Multipath, {.as = As::kNobody}); }
TEST("guard: nothing comes out by io_uring") { HoldsAgainst(ConnectByRing, {.as = As::kNobody}); }
TEST("guard: nothing comes out by a socket that is connected again") {
  HoldsAgainst(Reconnect, {.as = As::kNobody});
}
TEST("guard: nothing comes out by the options that choose a device for datagrams") {
  HoldsAgainst(ChooseDeviceByOption, {.as = As::kNobody});
}
TEST("guard: nothing comes out under a borrowed address") { HoldsAgainst(BorrowAddress, {}); }

// === Held by the rules behind those of the marks

TEST("guard: nothing comes out of an open connection that is bound to a device") {
  HoldsAgainst(BindOpenConnection, {.as = As::kNobody});
}
TEST("guard: nothing comes out of an open connection that is bound to a device by its index") {
  HoldsAgainst(BindOpenConnectionByIndex, {.as = As::kNobody});
}
TEST("guard: nothing comes out of a deferred connection that is bound to a device") {
  HoldsAgainst(BindDeferredConnection, {.as = As::kNobody});
}

// === Held by the guard alone

TEST("guard: nothing comes out of an open connection without its mark") {
  HoldsAgainst(UnmarkOpenConnection, {.counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out of a deferred connection without its mark") {
  HoldsAgainst(UnmarkDeferredConnection, {.counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out of a mapped connection without its mark") {
  HoldsAgainst(UnmarkMapped, {.families = {AF_INET}, .counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out of multipath TCP without its mark") {
  HoldsAgainst(UnmarkMultipath, {.counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out of a connection made by TCP_REPAIR") {
  HoldsAgainst(UnmarkRepaired, {.counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out by a routing header to the pod's own address") {
  HoldsAgainst(RouteThroughOther,
               {.as = As::kNobody, .families = {AF_INET6}, .counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out by a source route to the pod's own address") {
  // A router that takes part in it, as none should.
  Shell("router",
        "sysctl -qw net.ipv4.conf.all.accept_source_route=1 "
        "net.ipv4.conf.va.accept_source_route=1");
  HoldsAgainst(RouteThroughOther, {.families = {AF_INET}, .counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out from a process in another cgroup") {
  HoldsAgainst(Plainly, {.place = {"a", ""}, .counted = "guard_dropped_socket"});
}
TEST("guard: nothing comes out by a raw socket") {
  HoldsAgainst(WriteRaw, {.counted = "guard_dropped_raw"});
}
TEST("guard: nothing comes out by fragments of a raw socket") {
  HoldsAgainst(WriteRawFragments, {.families = {AF_INET}, .counted = "guard_dropped_raw"});
}
TEST("guard: nothing comes out by a packet socket") {
  HoldsAgainst(WriteFrame, {.counted = "guard_dropped_raw"});
}
TEST("guard: nothing comes out by a packet socket that goes past the queue") {
  HoldsAgainst(WriteFramePastTheQueue, {.counted = "guard_dropped_raw"});
}
TEST("guard: nothing comes out by a packet socket on a device of its own") {
  HoldsAgainst(WriteFrameOnMacvlan, {.counted = "guard_dropped_raw"});
  Shell("a", "ip link del upon");
}
TEST("guard: a frame that lies about its length has data all the same") {
  Captured world;
  REQUIRE(world.ok());
  (void)ComesOut(PodA(), As::kRoot, WriteLyingFrame, AF_INET);
  CHECK_EQ(world.Grown("guard_dropped_raw"), 1u);
}
TEST("guard: nothing comes out of what the pod forwards") {
  HoldsAgainst(ForwardThroughTun, {.counted = "guard_dropped_forwarded"});
}
TEST("guard: nothing comes out when the rules of capture are removed in the pod") {
  HoldsAgainst(RemoveRules, {.counted = "guard_dropped_socket"});
}

/// What the application that a connection was delivered to says after `misuse` of its socket.
bool AnswerComesOut(void (*misuse)(int fd)) {
  Running application = StartServer(PodA(), "7400", [misuse] {
    const int fd = accept(Listen("10.201.0.1:7400"), nullptr, nullptr);
    misuse(fd);
    Say(fd);
    return std::string();
  });
  Captured world;
  if (!world.ok()) return true;
  // The client is pod b: what does not come back to the agent would go there.
  auto delivery =
      Sockets().OpenDeliverySocket(world.a->netns_fd(), *SocketAddress::Parse("10.201.0.2:1"),
                                   *SocketAddress::Parse("10.201.0.1:7400"));
  if (!delivery.ok()) return true;
  Cable cable;
  CHECK_EQ(FinishConnect(delivery.value(), *SocketAddress::Parse("10.201.0.1:7400")), "");
  application.Wait();
  close(delivery.value());
  return cable.Brought(kWords);
}

TEST("guard: nothing comes out of what an application accepted, without its mark or on a device") {
  CHECK_EQ(AnswerComesOut([](int fd) { Set(fd, SOL_SOCKET, SO_MARK, 0); }), false);
  CHECK_EQ(AnswerComesOut(BindToEth0), false);
}

TEST("guard: a device without an end on the node is guarded where it sends") {
  Shell("a", "ip link add second type veth peer name end netns " + NetnsPath("b").substr(11));
  Shell("a", "ip link set second up");
  Shell("b", "ip link set end up");
  Captured world;
  REQUIRE(world.ok());
  const auto write = [](int option) {
    return [option] {
      const Aim aim = AimAt(AF_INET);
      SendFrame(aim, Packet(aim, aim.own, Segment(aim)), option, 1, {}, "second");
      return std::string();
    };
  };
  Cable cable;
  Run(PodA(), write(0));
  CHECK_EQ(cable.Brought(kWords), false);
  CHECK_EQ(world.Grown("guard_dropped_raw"), 1u);
  // The limit that docs/security.md states.
  Run(PodA(), write(kPacketQdiscBypass));
  CHECK_EQ(cable.Brought(kWords), true);
  Shell("a", "ip link del second");
}

TEST("guard: what is not TCP is left alone") {
  Captured world;
  REQUIRE(world.ok());
  const Attempt datagram = [](const Aim& aim) {
    const int fd = socket(aim.family, SOCK_DGRAM, 0);
    ConnectTo(fd, aim, aim.to);
    Say(fd);
  };
  CHECK_EQ(ComesOut(PodA(), As::kNobody, datagram, AF_INET), true);
}

TEST("guard: segments without data pass, and nothing is said by them") {
  Captured world;
  REQUIRE(world.ok());
  (void)ComesOut(
      PodA(), As::kRoot,
      [](const Aim& aim) {
        std::vector<uint8_t> bare = Segment(aim);
        bare.resize(sizeof(tcphdr));
        bare[13] = 0x10;  // ACK
        SendFrame(aim, Packet(aim, aim.own, bare), 0, 0);
      },
      AF_INET);
  CHECK_EQ(world.Grown("guard_no_payload"), 1u);
  CHECK_EQ(world.Grown("guard_dropped_raw"), 0u);
}

TEST("guard: a probe is answered for as long as the two talk") {
  Captured world;
  REQUIRE(world.ok());
  Running server = StartServer(PodA(), "7200", [] {
    const int listener = Listen("10.201.0.1:7200");
    const int fd = accept(listener, nullptr, nullptr);
    for (int i = 0; i < 3; ++i) {
      WriteAll(fd, "alive ");
      usleep(50'000);
    }
    close(fd);
    return std::string();
  });
  CHECK_EQ(Run({"router", "probe"}, [] { return Visit("10.201.0.1:7200"); }),
           "connected 10.201.0.1:7200 169.254.1.1 alive alive alive ");
  CHECK(world.Grown("guard_known_flow") > 0);
  CHECK_EQ(world.Grown("guard_dropped_socket"), 0u);
  server.Wait();
}

TEST("guard: a connection that is older than capture goes on, one that pretends to be does not") {
  Running server = StartServer(PodB(), "7300", [] {
    const int listener = Listen("10.201.0.2:7300");
    return ReadAll(accept(listener, nullptr, nullptr));
  });
  // Says a word before it is captured and one after.
  Running old = Start(PodA(), [] {
    const int fd = Connect("10.201.0.2:7300");
    WriteAll(fd, "before ");
    usleep(700'000);
    WriteAll(fd, "after");
    return std::string();
  });
  usleep(300'000);
  Captured world;
  REQUIRE(world.ok());
  CHECK_EQ(old.Wait(), "");
  CHECK_EQ(server.Wait(), "before after");
  CHECK(world.Grown("guard_known_flow") > 0);
  // Its addresses are forgotten with it.
  CHECK_EQ(world.a->Repair().status().ToString(), "ok");
  CHECK_EQ(world.b->Repair().status().ToString(), "ok");
  const auto counters = world.node->ReadCounters();
  REQUIRE(counters.ok());
  for (const auto& [name, value] : counters.value()) {
    if (name == "map_old_flows_entries") CHECK_EQ(value, 0u);
  }
}

}  // namespace
}  // namespace groundwire::world
