// SPDX-License-Identifier: Apache-2.0
#include "kernel/netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernel/netns.h"

namespace groundwire {
namespace {

constexpr timeval kAnswerTimeout = {2, 0};
constexpr size_t kReceiveBytes =
    size_t{64} * 1024;  // the kernel never makes a dump message longer than 32 KiB

enum class Turn { kMore, kDone };

/// Goes through one datagram. An error or an acknowledgement (error 0) ends the exchange, and so
/// does the end of a dump.
Result<Turn> Walk(const uint8_t* bytes, size_t size, const char* op,
                  const std::function<void(const nlmsghdr&)>& visit) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(bytes);
  auto left = static_cast<unsigned int>(size);
  for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
    if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
      // Both begin with an errno, negative: a dump that has begun fails in its last message.
      int error = 0;
      if (header->nlmsg_len < NLMSG_LENGTH(sizeof error)) return Status::Error(op, EPROTO);
      std::memcpy(&error, NLMSG_DATA(header), sizeof error);
      if (error < 0) return Status::Error(op, -error);
      return Turn::kDone;
    }
    visit(*header);
  }
  return Turn::kMore;
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags) {
  nlmsghdr header = {};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  Append(&header, sizeof header);
}

void NetlinkRequest::Append(const void* bytes, size_t size) {
  const auto* first = static_cast<const uint8_t*>(bytes);
  bytes_.insert(bytes_.end(), first, first + size);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void NetlinkRequest::AppendBody(const void* body, size_t size) { Append(body, size); }

void NetlinkRequest::AppendAttribute(uint16_t type, const void* value, size_t size) {
  nlattr attribute = {};
  attribute.nla_type = type;
  attribute.nla_len = static_cast<uint16_t>(sizeof attribute + size);
  Append(&attribute, sizeof attribute);
  Append(value, size);
}

std::span<const uint8_t> NetlinkRequest::Finish() {
  reinterpret_cast<nlmsghdr*>(bytes_.data())->nlmsg_len = static_cast<uint32_t>(bytes_.size());
  return bytes_;
}

Result<NetlinkSocket> NetlinkSocket::Open(int netns_fd, int protocol) {
  auto fd = SocketInNetns(netns_fd, AF_NETLINK, SOCK_RAW, protocol);
  if (!fd.ok()) return Status::Error("netlink socket", fd.status().errno_value, fd.status().op);
  if (setsockopt(fd.value().get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout,
                 sizeof kAnswerTimeout) != 0) {
    return Status::Error("setsockopt SO_RCVTIMEO", errno);
  }
  return NetlinkSocket(std::move(fd.value()));
}

Status NetlinkSocket::Send(NetlinkRequest& request, const char* op) {
  const auto bytes = request.Finish();
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                              reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  if (sent != static_cast<ssize_t>(bytes.size())) return Status::Error(op, errno, "netlink send");
  return Status::Ok();
}

Status NetlinkSocket::Request(NetlinkRequest& request, const char* op) {
  return Dump(request, op, [](const nlmsghdr&) {});
}

Status NetlinkSocket::Dump(NetlinkRequest& request, const char* op,
                           const std::function<void(const nlmsghdr&)>& visit) {
  if (Status sent = Send(request, op); !sent.ok()) return sent;
  std::vector<uint8_t> buffer(kReceiveBytes);
  for (;;) {
    const ssize_t size = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Status::Error(op, errno, "no answer from netlink");
    auto turn = Walk(buffer.data(), static_cast<size_t>(size), op, visit);
    if (!turn.ok()) return turn.status();
    if (turn.value() == Turn::kDone) return Status::Ok();
  }
}

}  // namespace groundwire
