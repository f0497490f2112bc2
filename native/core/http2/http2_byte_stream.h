// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "http2/http2_session.h"
#include "io/byte_stream.h"
#include "io/event_loop.h"

namespace groundwire {

/// An open stream of a session as a stream of bytes, so that a protocol can run inside of it: a
/// CONNECT whose 200 was said or heard. What arrives is kept until it is read, bounded by the
/// stream's window; what is written is kept until the session sends it, bounded by `blocked`.
class Http2ByteStream final : public ByteStream {
 public:
  /// Becomes the stream's handler: at once, since bytes may come in the same turn.
  Http2ByteStream(EventLoop* loop, Http2Session* session, Http2Stream* stream);
  ~Http2ByteStream() override;
  Http2ByteStream(const Http2ByteStream&) = delete;
  Http2ByteStream& operator=(const Http2ByteStream&) = delete;

  Status Start(ByteStreamUser* user) override;
  StreamState Open() override { return StreamState::kOk; }
  ReadResult Read(uint8_t* buffer, size_t size) override;
  StreamState Write(const uint8_t* data, size_t size) override;
  StreamState Flush() override;
  bool blocked() const override;
  void Shutdown() override;
  /// What was written still leaves, as it does from a closed socket.
  void Close() override;
  ErrorCode error() const override;
  const std::string& error_detail() const override;

 private:
  class Pipe;
  /// Outlives this where something is left to send.
  const std::shared_ptr<Pipe> pipe_;
};

}  // namespace groundwire
