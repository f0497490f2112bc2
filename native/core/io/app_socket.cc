// SPDX-License-Identifier: Apache-2.0
#include "io/app_socket.h"

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "io/socket_options.h"

namespace groundwire {
namespace {

// 256 KiB of what is kept.
constexpr size_t kPartsPerSend = 64;

}  // namespace

void AppSocket::NoteEvents(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & EPOLLPRI) != 0) urgent_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hang_up_ = true;
  // A reset after the end of stream makes no read fail any more, so the event itself has to tell.
  if ((events & EPOLLERR) != 0) broken_ = true;
}

AppSocket::Result AppSocket::Receive(uint8_t* buffer, size_t* size) {
  if (drained_) return cut_ ? Result::kReset : Result::kEnd;
  if (!readable_) return Result::kBlocked;
  ssize_t count = 0;
  do {
    count = recv(fd_.get(), buffer, *size, 0);
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    // A short read has emptied the socket and the next bytes make an edge; the end of stream after
    // a hang-up does not, and neither does what lies behind the mark of urgent data, where recv
    // stops.
    readable_ = hang_up_ || urgent_ || static_cast<size_t>(count) == *size;
    *size = static_cast<size_t>(count);
    return Result::kOk;
  }
  *size = 0;
  if (count < 0 && errno == EAGAIN) {
    readable_ = false;
    urgent_ = false;
    return Result::kBlocked;
  }
  if (count < 0) NoteError(errno);
  drained_ = true;
  return cut_ ? Result::kReset : Result::kEnd;
}

AppSocket::Result AppSocket::Send(const uint8_t* data, size_t size, size_t* sent) {
  *sent = 0;
  if (broken_) return Result::kReset;
  while (kept() == 0 && *sent < size) {
    // The kernel reads it only.
    iovec rest{const_cast<uint8_t*>(data) + *sent, size - *sent};
    size_t count = 0;
    const Result result = SendOnce({&rest, 1}, &count);
    if (result == Result::kReset) return result;
    if (result == Result::kBlocked) break;
    *sent += count;
  }
  if (*sent == size) return Result::kOk;
  return kept_.Append(data + *sent, size - *sent) ? Result::kBlocked : Result::kFull;
}

AppSocket::Result AppSocket::SendKept(size_t* sent) {
  *sent = 0;
  if (broken_) return Result::kReset;
  while (kept() > 0) {
    std::array<iovec, kPartsPerSend> parts;
    size_t count = 0;
    const Result result = SendOnce(std::span(parts).first(kept_.Gather(parts)), &count);
    if (result != Result::kOk) return result;
    kept_.Drop(count);
    *sent += count;
  }
  if (fin_wanted_) SendFin();
  return Result::kOk;
}

void AppSocket::FinishSending() {
  fin_wanted_ = true;
  if (kept() == 0) SendFin();
}

void AppSocket::SendFin() {
  if (fin_sent_ || broken_ || !fd_.valid()) return;
  fin_sent_ = true;
  (void)shutdown(fd_.get(), SHUT_WR);
}

AppSocket::Result AppSocket::SendOnce(std::span<iovec> parts, size_t* sent) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t count = 0;
  do {
    count = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  if (count >= 0) {
    *sent = static_cast<size_t>(count);
    return Result::kOk;
  }
  if (errno == EAGAIN) return Result::kBlocked;
  NoteError(errno);
  return Result::kReset;
}

bool AppSocket::AllTaken() const {
  int unacknowledged = 0;
  return ioctl(fd_.get(), SIOCOUTQ, &unacknowledged) != 0 || unacknowledged == 0;
}

/// A call takes the error from the socket, so nothing later repeats it: recv gives what was
/// received, and then 0 as if the stream had ended. It has only if the error is EPIPE, which the
/// kernel keeps for a reset that came after the end.
void AppSocket::NoteError(int error) {
  broken_ = true;
  readable_ = true;
  hang_up_ = true;
  cut_ = cut_ || error != EPIPE;
}

void AppSocket::CloseWithReset() { groundwire::CloseWithReset(&fd_); }

}  // namespace groundwire
