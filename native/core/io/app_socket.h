// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/unique_fd.h"
#include "io/event_loop.h"
#include "io/kept_bytes.h"

namespace groundwire {

/// An application's TCP socket under edge-triggered epoll: remembers what the last edge said, so
/// that no call is made that is known to find nothing. Owns what the application did not take yet;
/// nothing else is buffered for it.
class AppSocket {
 public:
  /// kFull: what is left cannot be kept, and is lost.
  enum class Result : uint8_t { kOk, kBlocked, kEnd, kReset, kFull };

  /// `account` pays for what is kept, and outlives it.
  AppSocket(UniqueFd fd, KeptAccount* account) : fd_(std::move(fd)), kept_(account) {}

  int fd() const { return fd_.get(); }
  bool open() const { return fd_.valid(); }
  void NoteEvents(uint32_t events);
  /// One recv. kOk: `*size` bytes came. kEnd and kReset come after the last byte, also of a broken
  /// socket.
  Result Receive(uint8_t* buffer, size_t* size);
  /// Sends what it can and keeps the rest. kOk: all of it has left; kBlocked: some is kept.
  Result Send(const uint8_t* data, size_t size, size_t* sent);
  /// Goes on with what was kept; `*sent` as above. Finishes a wanted half-close.
  Result SendKept(size_t* sent);
  /// FIN once everything has left.
  void FinishSending();

  bool readable() const { return readable_; }
  size_t kept() const { return kept_.size(); }
  /// An event or a call told that the connection was reset or lost: it takes no more bytes.
  bool broken() const { return broken_; }
  /// Nothing more will be received: the end of stream or the reset has been reached.
  bool drained() const { return drained_; }
  /// The other end's kernel has acknowledged all that Send took. A system call; for the end of a
  /// connection only.
  bool AllTaken() const;
  bool finished_sending() const { return fin_sent_; }
  void Close() { fd_.Reset(); }
  void CloseWithReset();

 private:
  /// kOk: `*sent` of it has left, maybe all.
  Result SendOnce(std::span<iovec> parts, size_t* sent);
  void SendFin();
  void NoteError(int error);

  UniqueFd fd_;
  KeptBytes kept_;
  bool readable_ = true;
  bool hang_up_ = false;
  /// Urgent data came: until recv finds nothing, a short read says nothing.
  bool urgent_ = false;
  bool broken_ = false;
  bool drained_ = false;
  /// Broken without an end of stream.
  bool cut_ = false;
  bool fin_wanted_ = false;
  bool fin_sent_ = false;
};

}  // namespace groundwire
