// SPDX-License-Identifier: Apache-2.0
#include "io/socket_options.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

namespace groundwire {
namespace {

constexpr int kKeepaliveIdleSeconds = 180;
constexpr int kKeepaliveIntervalSeconds = 180;
constexpr int kKeepaliveProbes = 9;

void SetInt(int fd, int level, int option, int value) {
  // No TCP socket refuses one of these.
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

void SetLocalSocketOptions(int fd) {
  SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

void SetApplicationSocketOptions(int fd) {
  SetLocalSocketOptions(fd);
  SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
}

int StartConnect(int fd, const SocketAddress& destination) {
  sockaddr_storage storage;
  const socklen_t size = destination.ToSockaddr(destination.family(), &storage);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&storage), size) == 0) return 0;
  return errno == EINPROGRESS ? 0 : errno;
}

bool IsConnected(int fd) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  return getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) == 0;
}

int TakeSocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

ErrorCode CodeOfConnectError(int error) {
  switch (error) {
    case 0:
      return ErrorCode::kNone;
    case ECONNREFUSED:
    case ECONNRESET:
      return ErrorCode::kConnectRefused;
    case ETIMEDOUT:
      return ErrorCode::kConnectTimeout;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return ErrorCode::kOutOfFiles;
    case EADDRNOTAVAIL:
      return ErrorCode::kSourcePortsExhausted;
    default:
      return ErrorCode::kConnectUnreachable;
  }
}

SocketAddress LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return SocketAddress::FromSockaddr(storage);
}

void CloseWithReset(UniqueFd* fd) {
  if (!fd->valid()) return;
  const linger reset{1, 0};
  (void)setsockopt(fd->get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  fd->Reset();
}

}  // namespace groundwire
