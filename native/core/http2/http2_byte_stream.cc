// SPDX-License-Identifier: Apache-2.0
#include "http2/http2_byte_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace groundwire {
namespace {

// Written ahead of the session: two of its DATA frames, so that one is there when one has left.
constexpr size_t kWrittenBytesMax = size_t{64} * 1024;

/// Bytes that come at the end and go from the front.
class ByteQueue {
 public:
  size_t size() const { return bytes_.size() - taken_; }
  void Append(const uint8_t* data, size_t size) { bytes_.insert(bytes_.end(), data, data + size); }
  size_t Take(uint8_t* buffer, size_t size) {
    const size_t count = std::min(size, this->size());
    std::copy_n(bytes_.data() + taken_, count, buffer);
    taken_ += count;
    // An idle stream owns no buffer; a busy one moves what is left once it is the smaller part.
    if (taken_ == bytes_.size()) {
      bytes_ = {};
      taken_ = 0;
    } else if (taken_ > bytes_.size() / 2) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
      taken_ = 0;
    }
    return count;
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t taken_ = 0;
};

}  // namespace

class Http2ByteStream::Pipe final : public Http2StreamHandler,
                                    public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(EventLoop* loop, Http2Session* session, Http2Stream* stream)
      : loop_(loop), session_(session), stream_(stream) {}

  void Begin() {
    // For as long as the session knows it.
    self_ = shared_from_this();
    session_->SetHandler(stream_, this);
    session_->Resume(stream_);
  }
  void Tell(ByteStreamUser* user) {
    user_ = user;
    Notify();
  }

  ReadResult Read(uint8_t* buffer, size_t size) {
    if (arrived_.size() == 0) {
      if (error_ != ErrorCode::kNone) return {StreamState::kError, 0};
      return {arrived_all_ ? StreamState::kEnd : StreamState::kBlocked, 0};
    }
    const size_t count = arrived_.Take(buffer, size);
    if (stream_ != nullptr) session_->Consume(stream_, count);
    return {StreamState::kOk, count};
  }
  StreamState Write(const uint8_t* data, size_t size) {
    if (stream_ == nullptr) return Fail();
    written_.Append(data, size);
    return StreamState::kOk;
  }
  StreamState Flush() {
    if (stream_ == nullptr) return written_.size() == 0 ? StreamState::kOk : Fail();
    session_->Resume(stream_);
    return blocked() ? StreamState::kBlocked : StreamState::kOk;
  }
  bool blocked() const { return stream_ != nullptr && written_.size() > kWrittenBytesMax; }
  void End() {
    end_wanted_ = true;
    if (stream_ != nullptr) session_->Resume(stream_);
  }
  void Abandon() {
    abandoned_ = true;
    user_ = nullptr;
    if (stream_ == nullptr) return;
    if (!end_wanted_) return Cut(NGHTTP2_CANCEL);
    uint8_t dropped[4096];
    while (Read(dropped, sizeof dropped).size > 0) {
    }
    EndIfAbandoned();
  }
  ErrorCode error() const { return error_; }
  const std::string& detail() const { return detail_; }

  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override {
    const bool was_blocked = blocked();
    const size_t count = written_.Take(buffer, size);
    *end = count == 0 && end_wanted_;
    end_sent_ = end_sent_ || *end;
    if (was_blocked && !blocked()) Notify();
    if (*end) EndIfAbandoned();
    return count;
  }
  void OnResponse(uint16_t, const HeaderList&) override {}
  void OnStreamData(const uint8_t* data, size_t size) override {
    if (abandoned_) return session_->Consume(stream_, size);
    arrived_.Append(data, size);
    Notify();
  }
  void OnStreamEnd() override {
    arrived_all_ = true;
    Notify();
  }
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override {
    stream_ = nullptr;
    if (lost != ErrorCode::kNone || h2_error != 0) {
      error_ = lost != ErrorCode::kNone ? lost : ErrorCode::kPeerReset;
      detail_ = lost != ErrorCode::kNone ? session_->close_detail() : "the stream was reset";
    }
    arrived_all_ = true;
    Notify();
    // Whoever called goes on with this object.
    loop_->Defer([self = std::move(self_)] {});
  }

 private:
  /// The user's call may read, write and close: it comes from the loop, never from inside of the
  /// session's work, whose scratch the user's own session shares.
  void Notify() {
    if (user_ == nullptr || std::exchange(notifying_, true)) return;
    loop_->Defer([self = shared_from_this()] {
      self->notifying_ = false;
      if (self->user_ != nullptr) self->user_->OnStreamReady(true, true);
    });
  }
  StreamState Fail() {
    if (error_ == ErrorCode::kNone) error_ = ErrorCode::kPeerReset;
    return StreamState::kError;
  }
  /// Nobody reads the rest of what the peer may still say.
  void EndIfAbandoned() {
    if (!abandoned_ || !end_sent_) return;
    loop_->Defer([self = shared_from_this()] {
      if (self->stream_ != nullptr) self->Cut(NGHTTP2_NO_ERROR);
    });
  }
  void Cut(uint32_t h2_error) {
    session_->Reset(std::exchange(stream_, nullptr), h2_error);
    loop_->Defer([self = std::move(self_)] {});
  }

  EventLoop* const loop_;
  Http2Session* const session_;
  Http2Stream* stream_;
  std::shared_ptr<Pipe> self_;
  ByteStreamUser* user_ = nullptr;
  ByteQueue arrived_;
  ByteQueue written_;
  bool abandoned_ = false;
  bool arrived_all_ = false;
  bool end_wanted_ = false;
  bool end_sent_ = false;
  bool notifying_ = false;
  ErrorCode error_ = ErrorCode::kNone;
  std::string detail_;
};

Http2ByteStream::Http2ByteStream(EventLoop* loop, Http2Session* session, Http2Stream* stream)
    : pipe_(std::make_shared<Pipe>(loop, session, stream)) {
  pipe_->Begin();
}

Http2ByteStream::~Http2ByteStream() { pipe_->Abandon(); }

Status Http2ByteStream::Start(ByteStreamUser* user) {
  pipe_->Tell(user);
  return Status::Ok();
}

ReadResult Http2ByteStream::Read(uint8_t* buffer, size_t size) { return pipe_->Read(buffer, size); }

StreamState Http2ByteStream::Write(const uint8_t* data, size_t size) {
  return pipe_->Write(data, size);
}

StreamState Http2ByteStream::Flush() { return pipe_->Flush(); }

bool Http2ByteStream::blocked() const { return pipe_->blocked(); }

void Http2ByteStream::Shutdown() { pipe_->End(); }

void Http2ByteStream::Close() { pipe_->Abandon(); }

ErrorCode Http2ByteStream::error() const { return pipe_->error(); }

const std::string& Http2ByteStream::error_detail() const { return pipe_->detail(); }

}  // namespace groundwire
