// SPDX-License-Identifier: Apache-2.0
#include "http2/http2_callbacks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "http2/header_list.h"
#include "http2/http2_options.h"
#include "http2/http2_session.h"

namespace groundwire {
namespace {

constexpr size_t kFrameHeaderBytes = 9;
// What nghttp2 has room for in the buffer that each session has. A larger frame makes the buffer
// larger for good, though its payload never goes there: 17 KB of each tunnel that ever carried a
// byte (measured, nghttp2 1.52), which is idle most of the time.
constexpr size_t kFirstFrameBytes = size_t{16} * 1024;
// Above this a stream is bulk, and worth it.
constexpr uint64_t kBulkBytes = uint64_t{256} * 1024;
// Our own DATA frames: large enough that the frame's cost disappears, small enough that streams
// take turns.
constexpr size_t kDataFrameBytes = size_t{32} * 1024;
// Below this much room the frames collected so far are sent first: tiny DATA frames would cost more
// than the send.
constexpr size_t kFrameRoomMin = size_t{8} * 1024;
// A session's turn of sending ends here: the rest goes in the next turn.
constexpr size_t kSendTurnBytes = 1 << 20;
// A stream that is reset within this time, with nothing carried, was not opened to carry something.
constexpr uint64_t kSoonUs = 1000000;

Http2Session* Self(void* user) { return static_cast<Http2Session*>(user); }

/// Whether a reset of ours says that the peer broke the rules on that stream; whoever uses a session
/// resets streams with other codes.
bool IsForced(uint32_t h2_error) {
  return h2_error == NGHTTP2_PROTOCOL_ERROR || h2_error == NGHTTP2_FLOW_CONTROL_ERROR ||
         h2_error == NGHTTP2_STREAM_CLOSED || h2_error == NGHTTP2_ENHANCE_YOUR_CALM;
}

uint16_t ParseStatus(std::string_view value) {
  unsigned status = 0;
  for (const char digit : value.substr(0, 3))
    status = status * 10 + static_cast<unsigned>(digit - '0') % 10;
  return static_cast<uint16_t>(status);
}

}  // namespace

Http2Stream* Http2Callbacks::Find(Http2Session* self, int32_t id) {
  const auto found = self->streams_.find(id);
  return found == self->streams_.end() ? nullptr : found->second.get();
}

bool Http2Callbacks::IsRequest(const nghttp2_frame* frame) {
  return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

int Http2Callbacks::OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  Http2Session* self = Self(user);
  // A block before may have been given up in its midst.
  self->arriving_.Clear();
  if (!IsRequest(frame)) return 0;
  auto stream = std::make_unique<Http2Stream>();
  stream->id = frame->hd.stream_id;
  stream->opened_us = self->loop_->now_us();
  self->streams_[stream->id] = std::move(stream);
  ++self->streams_total_;
  return 0;
}

int Http2Callbacks::OnHeader(nghttp2_session* http2, const nghttp2_frame* frame,
                             nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t, void* user) {
  Http2Session* self = Self(user);
  self->arriving_.Append(name, value);
  if (self->arriving_.bytes() <= self->header_list_bytes_max() &&
      self->arriving_.size() <= self->options_.header_fields_max)
    return 0;
  self->arriving_.Clear();
  self->counters_->Add(self->options_.counters.headers_refused);
  (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_ENHANCE_YOUR_CALM);
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int Http2Callbacks::OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  Http2Session* self = Self(user);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      OnHeaders(self, frame);
      OnEndOfStream(self, frame);
      break;
    case NGHTTP2_DATA:
      // Nothing but padding.
      if (frame->data.padlen > 0 && frame->hd.length <= frame->data.padlen)
        self->Spend(Flood::kEmptyData);
      OnEndOfStream(self, frame);
      break;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) self->ping_waits_ = false;
      break;
    case NGHTTP2_SETTINGS:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) self->settings_wait_ = false;
      self->owner_->OnCapacity(self);
      break;
    case NGHTTP2_RST_STREAM:
      OnReset(self, frame->hd.stream_id);
      break;
    case NGHTTP2_GOAWAY:
      self->draining_ = true;
      self->owner_->OnCapacity(self);
      break;
    default:
      break;
  }
  return 0;
}

void Http2Callbacks::OnEndOfStream(Http2Session* self, const nghttp2_frame* frame) {
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  // Whoever was told of the headers may have ended it.
  Http2Stream* stream = Find(self, frame->hd.stream_id);
  if (stream == nullptr) return;
  stream->peer_ended = true;
  if (stream->handler != nullptr) stream->handler->OnStreamEnd();
}

void Http2Callbacks::OnHeaders(Http2Session* self, const nghttp2_frame* frame) {
  HeaderList headers = std::move(self->arriving_);
  Http2Stream* stream = Find(self, frame->hd.stream_id);
  if (stream == nullptr) return;
  stream->peer_ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (IsRequest(frame)) return self->owner_->OnRequest(self, stream, std::move(headers));
  if (stream->handler == nullptr) return;
  if (self->role_ == Http2Session::Role::kServer || stream->answered)
    return stream->handler->OnStreamTrailers(headers);
  // nghttp2 lets through no response without a status of three digits.
  const uint16_t status = ParseStatus(headers.Find(":status").value_or(""));
  if (status < 200) return stream->handler->OnInterimResponse(status, headers);
  stream->answered = true;
  stream->handler->OnResponse(status, headers);
}

void Http2Callbacks::OnReset(Http2Session* self, int32_t id) {
  const Http2Stream* stream = Find(self, id);
  // One that crossed our own end of the stream is honest.
  if (stream == nullptr || self->role_ == Http2Session::Role::kClient) return;
  // Answered at once or not: it cost a request, and maybe a dial.
  const bool soon = self->loop_->now_us() - stream->opened_us < kSoonUs;
  // A refusal that has not left yet is no answer either.
  if (!stream->answered || stream->refused || (soon && !stream->carried))
    self->Spend(Flood::kResets);
}

/// The end of a refused request may never come: NO_ERROR after the complete response says "stop
/// sending" (RFC 9113 8.1). Only after it has been sent, because nghttp2 drops what waits for a
/// stream that is being reset.
int Http2Callbacks::OnFrameSent(nghttp2_session* http2, const nghttp2_frame* frame, void* user) {
  // nghttp2 ends a session whose peer broke the rules by itself; a GOAWAY of our own has closed the
  // state before.
  if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
    if (Self(user)->state_ == Http2Session::State::kOpen) Self(user)->NoteProtocolError(*frame);
  }
  if (frame->hd.type == NGHTTP2_RST_STREAM && IsForced(frame->rst_stream.error_code))
    Self(user)->Spend(Flood::kForcedResets);
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  const Http2Stream* stream = Find(Self(user), frame->hd.stream_id);
  if (stream != nullptr && stream->refused && !stream->peer_ended) {
    (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

/// Requests that nghttp2 refuses before anybody else sees them.
int Http2Callbacks::OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int library_error,
                                   void* user) {
  Http2Session* self = Self(user);
  if (frame->hd.type != NGHTTP2_HEADERS || self->role_ != Http2Session::Role::kServer) return 0;
  if (library_error == NGHTTP2_ERR_REFUSED_STREAM) {
    self->counters_->Add(self->options_.counters.streams_refused);
    return 0;
  }
  self->counters_->Add(self->options_.counters.requests_malformed);
  const HeaderList headers = std::move(self->arriving_);
  if (IsRequest(frame) && Find(self, frame->hd.stream_id) != nullptr)
    self->owner_->OnMalformedRequest(self, headers, nghttp2_strerror(library_error));
  return 0;
}

int Http2Callbacks::OnDataChunk(nghttp2_session* http2, uint8_t, int32_t id, const uint8_t* data,
                                size_t size, void* user) {
  Http2Session* self = Self(user);
  // The connection's window is given back at once and only the stream's waits for the application,
  // so that one slow reader never stalls the others; what can pile up is bounded by the streams'
  // windows.
  (void)nghttp2_session_consume_connection(http2, size);
  Http2Stream* stream = Find(self, id);
  if (stream != nullptr) stream->carried = true;
  if (stream != nullptr && stream->handler != nullptr) {
    stream->unread += static_cast<uint32_t>(size);
    stream->handler->OnStreamData(data, size);
  } else {
    (void)nghttp2_session_consume_stream(http2, id, size);
  }
  return 0;
}

int Http2Callbacks::OnStreamClose(nghttp2_session*, int32_t id, uint32_t h2_error, void* user) {
  Self(user)->Forget(id, h2_error);
  return 0;
}

ssize_t Http2Callbacks::DataFrameLength(nghttp2_session*, uint8_t, int32_t id,
                                        int32_t connection_window, int32_t stream_window,
                                        uint32_t peer_max, void* user) {
  const Http2Stream* stream = Find(Self(user), id);
  const bool bulk = stream != nullptr && stream->sent_bytes >= kBulkBytes;
  const auto bound =
      static_cast<int32_t>(std::min<size_t>(peer_max, bulk ? kDataFrameBytes : kFirstFrameBytes));
  return std::max(std::min({bound, connection_window, stream_window}), 1);
}

ssize_t Http2Callbacks::ReadData(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                                 nghttp2_data_source* source, void* user) {
  Http2Session* self = Self(user);
  auto* stream = static_cast<Http2Stream*>(source->ptr);
  const bool full = ThreadScratch::kBytes - self->frames_size_ < kFrameRoomMin;
  if ((full && !self->FlushFrames()) || self->turn_bytes_ >= kSendTurnBytes) {
    stream->deferred = true;
    self->waiting_for_socket_.push_back(stream->id);
    return NGHTTP2_ERR_DEFERRED;
  }
  bool end = false;
  size_t count = 0;
  if (stream->handler != nullptr) {
    const size_t room = ThreadScratch::kBytes - self->frames_size_ - kFrameHeaderBytes;
    uint8_t* const payload = self->scratch_->frames.get() + self->frames_size_ + kFrameHeaderBytes;
    count = stream->handler->ReadForStream(payload, std::min(size, room), &end);
  }
  if (count == 0 && !end) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  stream->carried = stream->carried || count > 0;
  stream->sent_bytes += count;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (end) *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (end && !stream->trailers.empty()) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    self->SubmitTrailers(*stream);
  }
  return static_cast<ssize_t>(count);
}

/// The payload is already behind the place of its header.
int Http2Callbacks::SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                             nghttp2_data_source*, void* user) {
  Http2Session* self = Self(user);
  std::memcpy(self->scratch_->frames.get() + self->frames_size_, header, kFrameHeaderBytes);
  self->frames_size_ += kFrameHeaderBytes + size;
  self->turn_bytes_ += size;
  self->budget_.Earn(size);
  return 0;
}

nghttp2_data_provider Http2Callbacks::ProviderOf(Http2Stream* stream) {
  nghttp2_data_provider provider{};
  provider.source.ptr = stream;
  provider.read_callback = ReadData;
  return provider;
}

nghttp2_session_callbacks* Http2Callbacks::Make() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return nullptr;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback2(callbacks, OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, OnInvalidFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnDataChunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
  nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, DataFrameLength);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, SendData);
  return callbacks;
}

nghttp2_option* Http2Callbacks::MakeOptions(const Http2Options& options) {
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) return nullptr;
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);
  // Until the peer's SETTINGS say otherwise.
  nghttp2_option_set_peer_max_concurrent_streams(made, options.streams_used_max);
  return made;
}

}  // namespace groundwire
