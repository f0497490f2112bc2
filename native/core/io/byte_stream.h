// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error_code.gen.h"
#include "base/status.h"

namespace groundwire {

enum class StreamState : uint8_t { kOk, kBlocked, kEnd, kError };

struct ReadResult {
  StreamState state = StreamState::kBlocked;
  size_t size = 0;
};

class ByteStreamUser {
 public:
  /// Something may go on that could not: opening, reading, sending. Once more than needed does no
  /// harm. Also told after a failure, for the next call to report.
  virtual void OnStreamReady(bool readable, bool writable) = 0;

 protected:
  ~ByteStreamUser() = default;
};

/// What HTTP/2 runs over: a TLS connection, a stream of another HTTP/2 session, or in tests plain
/// memory. Non-blocking; one thread.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// From here on `user` is told, from the loop, until Close.
  virtual Status Start(ByteStreamUser* user) = 0;
  /// Goes on with what comes before the first byte: connect, handshake. kOk: done; kBlocked: when
  /// the user is told; kError: see error().
  virtual StreamState Open() = 0;
  virtual ReadResult Read(uint8_t* buffer, size_t size) = 0;
  /// Takes all of it, or fails. What cannot leave at Flush is kept, so do not write while `blocked`.
  virtual StreamState Write(const uint8_t* data, size_t size) = 0;
  /// Sends what was written. kBlocked: some is left, again when the user is told.
  virtual StreamState Flush() = 0;
  virtual bool blocked() const = 0;
  /// Says goodbye in the stream's own way, then Flush.
  virtual void Shutdown() = 0;
  /// The last call but the questions below.
  virtual void Close() = 0;
  /// Instead of Close, after Shutdown: what was written still arrives, though the peer may go on to
  /// send.
  virtual void CloseInOrder() { Close(); }
  virtual ErrorCode error() const = 0;
  virtual const std::string& error_detail() const = 0;
};

}  // namespace groundwire
