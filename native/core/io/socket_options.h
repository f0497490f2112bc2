// SPDX-License-Identifier: Apache-2.0
// What every application socket is set to, and how a socket is asked and ended.
#pragma once
#include "base/address.h"
#include "base/error_code.gen.h"
#include "base/unique_fd.h"

namespace groundwire {

/// TCP_NODELAY, and urgent data in its place among the other bytes: carried as ordinary ones,
/// because a tunnel has no such mark. Enough for a peer on this machine, whose end the kernel
/// always tells.
void SetLocalSocketOptions(int fd);
/// The same, and keepalive (180 s idle, 180 s interval, 9 probes, as ztunnel's defaults). Sockets
/// accepted from a listener inherit them, so a listener is set once and an accepted socket costs no
/// call.
void SetApplicationSocketOptions(int fd);
/// Starts a non-blocking connect of a socket of `destination`'s family. 0 when under way or done,
/// otherwise errno.
int StartConnect(int fd, const SocketAddress& destination);
bool IsConnected(int fd);
/// The pending error of a socket (SO_ERROR), cleared by reading it.
int TakeSocketError(int fd);
/// What a failed connect, or a failed opening of its socket, is called; kNone for 0.
ErrorCode CodeOfConnectError(int error);
SocketAddress LocalAddress(int fd);
/// Closes with a reset instead of a FIN, so that the other end learns that the stream was cut, not
/// finished.
void CloseWithReset(UniqueFd* fd);

}  // namespace groundwire
