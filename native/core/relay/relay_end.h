// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "io/app_socket.h"

namespace groundwire {

class Relay;

/// One end of a relay, where bytes come from and go to. It keeps what its reader does not take yet,
/// and nothing else is kept for it.
///
/// What came is either asked for (a socket: Receive) or handed over as it comes (a stream of HTTP/2:
/// Relay::Take). What is to be sent is always asked for, by Relay::Fill, when there is room for it:
/// in the socket, or in a frame. So nobody copies a byte but the kernel and TLS.
class RelayEnd {
 public:
  using Result = AppSocket::Result;

  RelayEnd() = default;
  RelayEnd(const RelayEnd&) = delete;
  RelayEnd& operator=(const RelayEnd&) = delete;
  virtual ~RelayEnd() = default;

  /// From now on what happens here is told to `relay`. False: there is no descriptor left for it.
  virtual bool Start(Relay* relay) = 0;

  /// kOk: `*size` bytes came. kEnd and kReset come after the last byte, also of a broken end.
  virtual Result Receive(uint8_t* buffer, size_t* size) = 0;
  /// Receive may find something.
  virtual bool readable() const = 0;
  /// Nothing more will be received: the end of stream or the reset has been reached.
  virtual bool drained() const = 0;
  /// So much of what came from here has left through the other end: more may come.
  virtual void Consume(size_t size) = 0;

  /// Sends what was kept and then what Relay::Fill gives, now or when there is room. False: it
  /// stopped because others are to have their turn, so call again in the next one.
  virtual bool Ask() = 0;
  /// Sends what it can and keeps the rest. kOk: all of it has left; kBlocked: some is kept; kFull:
  /// some can be kept no more, and is lost. `*sent`: what left.
  virtual Result Send(const uint8_t* data, size_t size, size_t* sent) = 0;
  virtual size_t kept() const = 0;
  /// The end of stream once everything has left.
  virtual void FinishSending() = 0;
  virtual bool finished_sending() const = 0;
  /// All that was sent has arrived, as far as this end can know. A system call; for the end of a
  /// connection only.
  virtual bool AllTaken() const = 0;

  /// It was reset or lost: the other end has to be reset too.
  virtual bool broken() const = 0;
  /// It is there to take bytes: neither broken, nor over in its own good order.
  virtual bool open() const = 0;
  /// Ends it after both directions are over.
  virtual void Close() = 0;
  /// Ends it so that its peer knows that it was cut.
  virtual void Reset() = 0;
};

}  // namespace groundwire
