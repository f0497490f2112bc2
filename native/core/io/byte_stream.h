// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error_code.gen.h"

namespace groundwire {

enum class StreamState : uint8_t { kOk, kBlocked, kEnd, kError };

struct ReadResult {
  StreamState state = StreamState::kBlocked;
  size_t size = 0;
};

/// What HTTP/2 runs over: a TLS connection, or in tests plain memory. Non-blocking; one thread.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// The socket had an edge; until then a read that found it empty is not tried again. `to_the_end`:
  /// a short read does not show that it is empty. After a hang-up the end of stream comes without an
  /// edge of its own, and at urgent data a read stops.
  virtual void NotifyReadable(bool to_the_end) = 0;
  /// Goes on with the handshake. kOk: done; kBlocked: again after an event; kError: see error().
  virtual StreamState Handshake() = 0;
  virtual ReadResult Read(uint8_t* buffer, size_t size) = 0;
  /// Takes all of it, or fails. What the socket does not take at Flush is kept, so do not write
  /// while `blocked`.
  virtual StreamState Write(const uint8_t* data, size_t size) = 0;
  /// Sends what was written. kBlocked: some is left, again after an event.
  virtual StreamState Flush() = 0;
  virtual bool blocked() const = 0;
  /// Says goodbye in the stream's own way, then Flush.
  virtual void Shutdown() = 0;
  virtual ErrorCode error() const = 0;
  virtual const std::string& error_detail() const = 0;
};

}  // namespace groundwire
