// SPDX-License-Identifier: Apache-2.0
#include "hbone/hbone_callbacks.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "hbone/hbone_session.h"

namespace groundwire {
namespace {

constexpr size_t kFrameHeaderBytes = 9;
// Our own DATA frames: large enough that the frame's cost disappears, small enough that streams
// take turns.
constexpr size_t kDataFrameBytes = size_t{32} * 1024;
// Below this much room the frames collected so far are sent first: tiny DATA frames would cost more
// than the send.
constexpr size_t kFrameRoomMin = size_t{8} * 1024;
// A session's turn of sending ends here: the rest goes in the next turn.
constexpr size_t kSendTurnBytes = 1 << 20;
// Streams that the peer resets before they were answered, between two looks at whether it is alive
// (ping_interval_ms): more is the "rapid reset" flood.
constexpr uint32_t kEarlyResetsMax = 1000;

HboneSession* Self(void* user) { return static_cast<HboneSession*>(user); }

uint16_t ParseStatus(std::string_view value) {
  unsigned status = 0;
  for (const char digit : value.substr(0, 3))
    status = status * 10 + static_cast<unsigned>(digit - '0') % 10;
  return static_cast<uint16_t>(status);
}

}  // namespace

HboneStream* HboneCallbacks::Find(HboneSession* self, int32_t id) {
  const auto found = self->streams_.find(id);
  return found == self->streams_.end() ? nullptr : found->second.get();
}

int HboneCallbacks::OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  HboneSession* self = Self(user);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  auto stream = std::make_unique<HboneStream>();
  stream->id = frame->hd.stream_id;
  stream->request = std::make_unique<HboneRequest>();
  self->streams_[stream->id] = std::move(stream);
  ++self->streams_total_;
  return 0;
}

int HboneCallbacks::OnHeader(nghttp2_session* http2, const nghttp2_frame* frame,
                             const uint8_t* name_bytes, size_t name_size,
                             const uint8_t* value_bytes, size_t value_size, uint8_t, void* user) {
  HboneSession* self = Self(user);
  HboneStream* stream = Find(self, frame->hd.stream_id);
  if (stream == nullptr) return 0;
  const std::string_view name(reinterpret_cast<const char*>(name_bytes), name_size);
  const std::string_view value(reinterpret_cast<const char*>(value_bytes), value_size);
  if (!stream->request) {
    if (name == ":status") stream->status = ParseStatus(value);
    return 0;
  }
  HboneRequest& request = *stream->request;
  request.header_bytes += name_size + value_size + 32;  // RFC 9113 6.5.2
  if (request.header_bytes > kServerHeaderListBytes) {
    self->counters_->Add(Counter::kHboneHeadersRefused);
    (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream->id,
                                    NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (name == ":method") request.method = value;
  if (name == ":authority") request.authority = value;
  if (name == "traceparent") request.traceparent = value;
  return 0;
}

int HboneCallbacks::OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  HboneSession* self = Self(user);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
      OnStreamFrame(self, frame);
      break;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) self->ping_waits_ = false;
      break;
    case NGHTTP2_SETTINGS:
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

void HboneCallbacks::OnStreamFrame(HboneSession* self, const nghttp2_frame* frame) {
  HboneStream* stream = Find(self, frame->hd.stream_id);
  if (stream == nullptr) return;
  const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  stream->peer_ended = stream->peer_ended || end;
  if (frame->hd.type == NGHTTP2_HEADERS) {
    if (stream->request) {
      const std::unique_ptr<HboneRequest> request = std::move(stream->request);
      self->owner_->OnRequest(self, stream, std::move(*request));
    } else if (stream->handler != nullptr && !stream->answered && stream->status >= 200) {
      stream->answered = true;
      stream->handler->OnResponse(stream->status);
    }
    // Either call may have ended the stream.
    stream = Find(self, frame->hd.stream_id);
  }
  if (end && stream != nullptr && stream->handler != nullptr) stream->handler->OnTunnelEnd();
}

void HboneCallbacks::OnReset(HboneSession* self, int32_t id) {
  const HboneStream* stream = Find(self, id);
  if (stream == nullptr || self->role_ == HboneSession::Role::kClient) return;
  // A refusal that has not left yet is no answer either.
  if (stream->answered && !stream->refused) return;
  // The rest of what was read comes here too before the session ends: said once.
  if (++self->early_resets_ != kEarlyResetsMax + 1) return;
  self->counters_->Add(Counter::kTunnelsFlooded);
  self->Close(ErrorCode::kHboneProtocol, "too many streams reset before they were answered");
}

/// The end of a refused request may never come: NO_ERROR after the complete response says "stop
/// sending" (RFC 9113 8.1). Only after it has been sent, because nghttp2 drops what waits for a
/// stream that is being reset.
int HboneCallbacks::OnFrameSent(nghttp2_session* http2, const nghttp2_frame* frame, void* user) {
  // nghttp2 ends a session whose peer broke the rules by itself; a GOAWAY of our own has closed the
  // state before.
  if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
    if (Self(user)->state_ == HboneSession::State::kOpen) Self(user)->NoteProtocolError(*frame);
  }
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  const HboneStream* stream = Find(Self(user), frame->hd.stream_id);
  if (stream != nullptr && stream->refused && !stream->peer_ended) {
    (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

/// Requests that nghttp2 refuses before anybody else sees them.
int HboneCallbacks::OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int library_error,
                                   void* user) {
  HboneSession* self = Self(user);
  if (frame->hd.type != NGHTTP2_HEADERS || self->role_ != HboneSession::Role::kServer) return 0;
  if (library_error == NGHTTP2_ERR_REFUSED_STREAM) {
    self->counters_->Add(Counter::kHboneStreamsRefused);
    return 0;
  }
  self->counters_->Add(Counter::kHboneBadRequests);
  const HboneStream* stream = Find(self, frame->hd.stream_id);
  if (stream != nullptr && stream->request) {
    self->owner_->OnMalformedRequest(self, *stream->request, nghttp2_strerror(library_error));
  }
  return 0;
}

int HboneCallbacks::OnDataChunk(nghttp2_session* http2, uint8_t, int32_t id, const uint8_t* data,
                                size_t size, void* user) {
  HboneSession* self = Self(user);
  // The connection's window is given back at once and only the stream's waits for the application,
  // so that one slow reader never stalls the others; what can pile up is bounded by the streams'
  // windows.
  (void)nghttp2_session_consume_connection(http2, size);
  HboneStream* stream = Find(self, id);
  if (stream != nullptr && stream->handler != nullptr) {
    stream->handler->OnTunnelData(data, size);
  } else {
    (void)nghttp2_session_consume_stream(http2, id, size);
  }
  return 0;
}

int HboneCallbacks::OnStreamClose(nghttp2_session*, int32_t id, uint32_t h2_error, void* user) {
  Self(user)->Forget(id, h2_error);
  return 0;
}

ssize_t HboneCallbacks::DataFrameLength(nghttp2_session*, uint8_t, int32_t,
                                        int32_t connection_window, int32_t stream_window,
                                        uint32_t peer_max, void*) {
  const auto bound = static_cast<int32_t>(std::min<size_t>(peer_max, kDataFrameBytes));
  return std::max(std::min({bound, connection_window, stream_window}), 1);
}

ssize_t HboneCallbacks::ReadData(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                                 nghttp2_data_source* source, void* user) {
  HboneSession* self = Self(user);
  auto* stream = static_cast<HboneStream*>(source->ptr);
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
    count = stream->handler->ReadForTunnel(payload, std::min(size, room), &end);
  }
  if (count == 0 && !end) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (end) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(count);
}

/// The payload is already behind the place of its header.
int HboneCallbacks::SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                             nghttp2_data_source*, void* user) {
  HboneSession* self = Self(user);
  std::memcpy(self->scratch_->frames.get() + self->frames_size_, header, kFrameHeaderBytes);
  self->frames_size_ += kFrameHeaderBytes + size;
  self->turn_bytes_ += size;
  return 0;
}

nghttp2_data_provider HboneCallbacks::ProviderOf(HboneStream* stream) {
  nghttp2_data_provider provider{};
  provider.source.ptr = stream;
  provider.read_callback = ReadData;
  return provider;
}

nghttp2_session_callbacks* HboneCallbacks::Make() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return nullptr;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, OnInvalidFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnDataChunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
  nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, DataFrameLength);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, SendData);
  return callbacks;
}

nghttp2_option* HboneCallbacks::MakeOptions(const HboneOptions& options) {
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) return nullptr;
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);
  // Until the peer's SETTINGS say otherwise.
  nghttp2_option_set_peer_max_concurrent_streams(made, options.streams_used_max);
  return made;
}

}  // namespace groundwire
