// SPDX-License-Identifier: Apache-2.0
#include "hbone_session.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "socket_options.h"

namespace groundwire {
namespace {

constexpr uint32_t kMaxFrameBytes = 1 << 20;
constexpr size_t kFrameHeaderBytes = 9;
// Our own DATA frames: large enough that the frame's cost disappears, small enough that streams take turns.
constexpr size_t kDataFrameBytes = 32 * 1024;
// Below this much room the frames collected so far are sent first: tiny DATA frames would cost more than the send.
constexpr size_t kFrameRoomMin = 8 * 1024;
constexpr size_t kServerHeaderListBytes = 64 * 1024;
constexpr size_t kClientHeaderListBytes = 16 * 1024;
// A turn of one session ends after this many reads, so that one busy tunnel cannot hold the loop.
constexpr int kReadsPerTurn = 16;
// The same for sending: the rest goes in the next turn.
constexpr size_t kSendTurnBytes = 1 << 20;
// Streams reset by the peer before we answered, over the life of a tunnel's one interval: the "rapid reset" flood.
constexpr uint32_t kEarlyResetsMax = 1000;
// Frames that wait for a peer who sends but does not read; several for each stream that may be open at once.
constexpr size_t kQueuedFramesMax = 2000;
constexpr uint32_t kDrainNoticeMs = 1000;

nghttp2_nv HeaderOf(const std::string& name, const std::string& value) {
  // nghttp2 copies both, the API is only not const.
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

std::vector<nghttp2_nv> HeadersOf(const std::vector<HboneHeader>& headers) {
  std::vector<nghttp2_nv> list;
  list.reserve(headers.size());
  for (const HboneHeader& header : headers) list.push_back(HeaderOf(header.name, header.value));
  return list;
}

}  // namespace

struct HboneStream {
  int32_t id = 0;
  HboneStreamHandler* handler = nullptr;
  /// nghttp2 put the stream's DATA aside until Resume.
  bool deferred = false;
  bool answered = false;
  bool peer_ended = false;
  bool refused = false;
  uint16_t status = 0;
  /// Server, while headers arrive.
  std::unique_ptr<HboneRequest> request;
};

/// nghttp2's callbacks; `user` is always the session.
struct HboneCallbacks {
  static HboneSession* Self(void* user) { return static_cast<HboneSession*>(user); }

  static HboneStream* Find(HboneSession* self, int32_t id) {
    const auto found = self->streams_.find(id);
    return found == self->streams_.end() ? nullptr : found->second.get();
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    HboneSession* self = Self(user);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    auto stream = std::make_unique<HboneStream>();
    stream->id = frame->hd.stream_id;
    stream->request = std::make_unique<HboneRequest>();
    self->streams_[stream->id] = std::move(stream);
    ++self->streams_total_;
    return 0;
  }

  static int OnHeader(nghttp2_session* http2, const nghttp2_frame* frame, const uint8_t* name_bytes,
                      size_t name_size, const uint8_t* value_bytes, size_t value_size, uint8_t, void* user) {
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
      (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_ENHANCE_YOUR_CALM);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (name == ":method") request.method = value;
    if (name == ":authority") request.authority = value;
    if (name == "traceparent") request.traceparent = value;
    return 0;
  }

  static uint16_t ParseStatus(std::string_view value) {
    unsigned status = 0;
    for (const char digit : value.substr(0, 3)) status = status * 10 + static_cast<unsigned>(digit - '0') % 10;
    return static_cast<uint16_t>(status);
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
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

  static void OnStreamFrame(HboneSession* self, const nghttp2_frame* frame) {
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

  static void OnReset(HboneSession* self, int32_t id) {
    const HboneStream* stream = Find(self, id);
    if (stream == nullptr || self->role_ == HboneSession::Role::kClient) return;
    // A refusal that has not left yet is no answer either.
    if (stream->answered && !stream->refused) return;
    // The rest of what was read comes here too before the session ends: said once.
    if (++self->early_resets_ != kEarlyResetsMax + 1) return;
    self->counters_->Add(Counter::kTunnelsFlooded);
    self->Close(ErrorCode::kHboneProtocol, "too many streams reset before they were answered");
  }

  /// The end of a refused request may never come: NO_ERROR after the complete response says "stop sending" (RFC 9113
  /// 8.1). Only after it has been sent, because nghttp2 drops what waits for a stream that is being reset.
  static int OnFrameSent(nghttp2_session* http2, const nghttp2_frame* frame, void* user) {
    // nghttp2 ends a session whose peer broke the rules by itself; a GOAWAY of our own has closed the state before.
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
      if (Self(user)->state_ == HboneSession::State::kOpen) Self(user)->NoteProtocolError();
    }
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    const HboneStream* stream = Find(Self(user), frame->hd.stream_id);
    if (stream != nullptr && stream->refused && !stream->peer_ended) {
      (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  /// Requests that nghttp2 refuses before anybody else sees them.
  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int library_error, void* user) {
    HboneSession* self = Self(user);
    if (frame->hd.type != NGHTTP2_HEADERS || self->role_ != HboneSession::Role::kServer) return 0;
    const bool too_many = library_error == NGHTTP2_ERR_REFUSED_STREAM;
    self->counters_->Add(too_many ? Counter::kHboneStreamsRefused : Counter::kHboneBadRequests);
    return 0;
  }

  static int OnDataChunk(nghttp2_session* http2, uint8_t, int32_t id, const uint8_t* data, size_t size,
                         void* user) {
    HboneSession* self = Self(user);
    // The connection's window is given back at once and only the stream's waits for the application, so that one slow
    // reader never stalls the others; what can pile up is bounded by the streams' windows.
    (void)nghttp2_session_consume_connection(http2, size);
    HboneStream* stream = Find(self, id);
    if (stream != nullptr && stream->handler != nullptr) {
      stream->handler->OnTunnelData(data, size);
    } else {
      (void)nghttp2_session_consume_stream(http2, id, size);
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t h2_error, void* user) {
    Self(user)->Forget(id, h2_error);
    return 0;
  }

  static ssize_t DataFrameLength(nghttp2_session*, uint8_t, int32_t, int32_t connection_window,
                                 int32_t stream_window, uint32_t peer_max, void*) {
    const auto bound = static_cast<int32_t>(std::min<size_t>(peer_max, kDataFrameBytes));
    return std::max(std::min({bound, connection_window, stream_window}), 1);
  }

  static ssize_t ReadData(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
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
  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                      nghttp2_data_source*, void* user) {
    HboneSession* self = Self(user);
    std::memcpy(self->scratch_->frames.get() + self->frames_size_, header, kFrameHeaderBytes);
    self->frames_size_ += kFrameHeaderBytes + size;
    self->turn_bytes_ += size;
    return 0;
  }

  static nghttp2_session_callbacks* Make() {
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

  static nghttp2_option* MakeOptions(const HboneOptions& options) {
    nghttp2_option* made = nullptr;
    if (nghttp2_option_new(&made) != 0) return nullptr;
    nghttp2_option_set_no_auto_window_update(made, 1);
    nghttp2_option_set_no_closed_streams(made, 1);
    // Until the peer's SETTINGS say otherwise.
    nghttp2_option_set_peer_max_concurrent_streams(made, options.streams_used_max);
    return made;
  }
};

HboneSession::HboneSession(Role role, UniqueFd fd, std::unique_ptr<ByteStream> stream,
                           const HboneOptions& options, EventLoop* loop, ThreadScratch* scratch,
                           Counters* counters, HboneSessionOwner* owner)
    : role_(role),
      state_(role == Role::kClient ? State::kConnecting : State::kHandshaking),
      fd_(std::move(fd)),
      stream_(std::move(stream)),
      options_(options),
      loop_(loop),
      scratch_(scratch),
      counters_(counters),
      owner_(owner) {}

HboneSession::~HboneSession() {
  loop_->Cancel(&deadline_);
  loop_->Cancel(&tick_);
  nghttp2_session_del(http2_);
}

Status HboneSession::Start() {
  if (state_ == State::kConnecting) {
    StartDeadline(options_.connect_timeout_ms, ErrorCode::kConnectTimeout, "no answer to the TCP connect");
  } else {
    StartDeadline(options_.tls_timeout_ms, ErrorCode::kTlsTimeout, "TLS handshake not finished in time");
  }
  return loop_->Watch(fd_.get(), this);
}

void HboneSession::StartDeadline(uint32_t timeout_ms, ErrorCode code, const char* detail) {
  loop_->Cancel(&deadline_);
  deadline_ = loop_->After(timeout_ms, [this, code, detail] { Close(code, detail); });
}

void HboneSession::OnEvents(uint32_t events) {
  if (state_ == State::kClosed) return;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    stream_->NotifyReadable((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
  }
  if (state_ == State::kConnecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    const int error = TakeSocketError(fd_.get());
    if (error != 0) return Close(CodeOfConnectError(error), std::strerror(error));
    state_ = State::kHandshaking;
    StartDeadline(options_.tls_timeout_ms, ErrorCode::kTlsTimeout, "TLS handshake not finished in time");
  }
  if (state_ == State::kHandshaking) {
    if ((events & EPOLLOUT) != 0) (void)stream_->Flush();
    return ContinueHandshake();
  }
  if ((events & EPOLLOUT) != 0 && stream_->blocked()) ScheduleSend();
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ReceiveTurn();
}

void HboneSession::ContinueHandshake() {
  const StreamState handshake = stream_->Handshake();
  if (handshake == StreamState::kBlocked) return;
  if (handshake != StreamState::kOk) return Close(stream_->error(), stream_->error_detail());
  loop_->Cancel(&deadline_);
  if (const Status opened = OpenHttp2(); !opened.ok()) return Close(ErrorCode::kOutOfFiles, opened.ToString());
  state_ = State::kOpen;
  tick_ = loop_->After(options_.ping_interval_ms, [this] { Tick(); });
  owner_->OnEstablished(this);
  if (state_ != State::kOpen) return;
  ScheduleSend();
  ReceiveTurn();
}

Status HboneSession::OpenHttp2() {
  static nghttp2_session_callbacks* const callbacks = HboneCallbacks::Make();
  nghttp2_option* option = HboneCallbacks::MakeOptions(options_);
  if (callbacks == nullptr || option == nullptr) return Status::Error("nghttp2 callbacks", 0);
  const int made = role_ == Role::kClient ? nghttp2_session_client_new2(&http2_, callbacks, this, option)
                                          : nghttp2_session_server_new2(&http2_, callbacks, this, option);
  nghttp2_option_del(option);
  if (made != 0) return Status::Error("nghttp2_session_new", 0, nghttp2_strerror(made));

  const bool client = role_ == Role::kClient;
  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrameBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<uint32_t>(client ? kClientHeaderListBytes : kServerHeaderListBytes)},
      // Each role has one setting of its own: a client refuses pushes, a server says how many streams it serves.
      {client ? NGHTTP2_SETTINGS_ENABLE_PUSH : NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
       client ? 0U : options_.streams_served_max},
  }};
  int result = nghttp2_submit_settings(http2_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  if (result == 0) {
    result = nghttp2_session_set_local_window_size(http2_, NGHTTP2_FLAG_NONE, 0,
                                                   static_cast<int32_t>(options_.connection_window_bytes));
  }
  return result == 0 ? Status::Ok() : Status::Error("nghttp2 settings", 0, nghttp2_strerror(result));
}

void HboneSession::ReceiveTurn() {
  receive_scheduled_ = false;
  if (state_ != State::kOpen) return;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ReadResult read = stream_->Read(scratch_->arriving.get(), ThreadScratch::kBytes);
    if (read.state == StreamState::kBlocked) return;
    if (read.state == StreamState::kEnd) {
      return Close(ErrorCode::kHboneGoaway, "peer closed the connection");
    }
    if (read.state == StreamState::kError) {
      return Close(bytes_received_ == 0 ? stream_->error() : ErrorCode::kPeerReset, stream_->error_detail());
    }
    bytes_received_ += read.size;
    inside_http2_ = true;
    const ssize_t taken = nghttp2_session_mem_recv(http2_, scratch_->arriving.get(), read.size);
    inside_http2_ = false;
    if (close_noted_) return FinishClose();
    if (stream_->blocked() && nghttp2_session_get_outbound_queue_size(http2_) > kQueuedFramesMax) {
      counters_->Add(Counter::kTunnelsFlooded);
      return Close(ErrorCode::kHboneProtocol, "peer sends but does not read");
    }
    if (taken < 0) {
      if (taken == NGHTTP2_ERR_FLOODED) {
        counters_->Add(Counter::kTunnelsFlooded);
      } else {
        NoteProtocolError();
      }
      // Let the GOAWAY that says why leave, then end.
      SendTurn();
      return Close(ErrorCode::kHboneProtocol, nghttp2_strerror(static_cast<int>(taken)));
    }
    ScheduleSend();
  }
  if (receive_scheduled_) return;
  receive_scheduled_ = true;
  loop_->Defer([this] { ReceiveTurn(); });
}

void HboneSession::ScheduleSend() {
  if (send_scheduled_ || state_ != State::kOpen) return;
  send_scheduled_ = true;
  loop_->Defer([this] { SendTurn(); });
}

void HboneSession::SendTurn() {
  send_scheduled_ = false;
  if (state_ != State::kOpen) return;
  if (stream_->blocked()) {
    const StreamState sent = stream_->Flush();
    if (sent == StreamState::kBlocked) return;
    if (sent != StreamState::kOk) return Close(ErrorCode::kPeerReset, stream_->error_detail());
  }
  ResumeAfterFlush();
  turn_bytes_ = 0;
  inside_http2_ = true;
  while (!stream_->blocked() && !close_noted_) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(http2_, &data);
    if (size < 0) {
      Close(ErrorCode::kHboneProtocol, nghttp2_strerror(static_cast<int>(size)));
      break;
    }
    if (size == 0) break;
    AppendFrame(data, static_cast<size_t>(size));
  }
  (void)FlushFrames();
  inside_http2_ = false;
  // The note first: Close takes only one, and without FinishClose the session would end for nobody.
  if (close_noted_) return FinishClose();
  if (stream_->error() != ErrorCode::kNone) return Close(ErrorCode::kPeerReset, stream_->error_detail());
  if (!waiting_for_socket_.empty() && !stream_->blocked()) ScheduleSend();
  EndIfDrained();
}

void HboneSession::AppendFrame(const uint8_t* data, size_t size) {
  if (frames_size_ + size > ThreadScratch::kBytes) (void)FlushFrames();
  if (size > ThreadScratch::kBytes) {
    (void)stream_->Write(data, size);
    return;
  }
  std::memcpy(scratch_->frames.get() + frames_size_, data, size);
  frames_size_ += size;
}

bool HboneSession::FlushFrames() {
  if (frames_size_ > 0) {
    (void)stream_->Write(scratch_->frames.get(), frames_size_);
    frames_size_ = 0;
  }
  return stream_->Flush() == StreamState::kOk;
}

void HboneSession::ResumeAfterFlush() {
  std::vector<int32_t> waiting;
  waiting.swap(waiting_for_socket_);
  for (const int32_t id : waiting) {
    HboneStream* stream = HboneCallbacks::Find(this, id);
    if (stream == nullptr || !stream->deferred) continue;
    stream->deferred = false;
    (void)nghttp2_session_resume_data(http2_, id);
  }
}

HboneStream* HboneSession::Connect(const std::vector<HboneHeader>& headers, HboneStreamHandler* handler) {
  if (state_ != State::kOpen || draining_ || streams_.size() >= streams_max()) return nullptr;
  auto stream = std::make_unique<HboneStream>();
  stream->handler = handler;
  nghttp2_data_provider provider{};
  provider.source.ptr = stream.get();
  provider.read_callback = HboneCallbacks::ReadData;
  const std::vector<nghttp2_nv> list = HeadersOf(headers);
  const int32_t id = nghttp2_submit_request(http2_, nullptr, list.data(), list.size(), &provider, nullptr);
  if (id < 0) {
    // No stream ids are left, or a GOAWAY came: nothing more can begin here.
    draining_ = true;
    return nullptr;
  }
  stream->id = id;
  ++streams_total_;
  HboneStream* const made = stream.get();
  streams_[id] = std::move(stream);
  ScheduleSend();
  return made;
}

void HboneSession::Respond(HboneStream* stream, const std::vector<HboneHeader>& headers,
                           HboneStreamHandler* handler) {
  if (state_ == State::kClosed) return;
  stream->handler = handler;
  stream->answered = true;
  nghttp2_data_provider provider{};
  provider.source.ptr = stream;
  provider.read_callback = HboneCallbacks::ReadData;
  const std::vector<nghttp2_nv> list = HeadersOf(headers);
  (void)nghttp2_submit_response(http2_, stream->id, list.data(), list.size(), &provider);
  ScheduleSend();
}

void HboneSession::SetHandler(HboneStream* stream, HboneStreamHandler* handler) { stream->handler = handler; }

void HboneSession::Refuse(HboneStream* stream, uint16_t status) {
  if (state_ == State::kClosed) return;
  stream->handler = nullptr;
  stream->answered = true;
  const std::string name = ":status";
  const std::string value = std::to_string(status);
  const nghttp2_nv header = HeaderOf(name, value);
  (void)nghttp2_submit_response(http2_, stream->id, &header, 1, nullptr);
  stream->refused = true;
  ScheduleSend();
}

void HboneSession::Resume(HboneStream* stream) {
  if (state_ == State::kClosed || !stream->deferred) return;
  stream->deferred = false;
  (void)nghttp2_session_resume_data(http2_, stream->id);
  ScheduleSend();
}

void HboneSession::Consume(HboneStream* stream, size_t size) {
  if (state_ == State::kClosed || size == 0) return;
  (void)nghttp2_session_consume_stream(http2_, stream->id, size);
  ScheduleSend();
}

void HboneSession::Reset(HboneStream* stream, uint32_t h2_error) {
  if (state_ == State::kClosed) return;
  stream->handler = nullptr;
  stream->answered = true;
  (void)nghttp2_submit_rst_stream(http2_, NGHTTP2_FLAG_NONE, stream->id, h2_error);
  ScheduleSend();
}

size_t HboneSession::streams_max() const {
  if (http2_ == nullptr) return options_.streams_used_max;
  const uint32_t peer = nghttp2_session_get_remote_settings(http2_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return std::min(peer, options_.streams_used_max);
}

void HboneSession::Forget(int32_t stream_id, uint32_t h2_error) {
  const auto found = streams_.find(stream_id);
  if (found == streams_.end()) return;
  // Kept until the handler has been told: it may still look at the stream.
  const std::unique_ptr<HboneStream> stream = std::move(found->second);
  streams_.erase(found);
  if (stream->handler != nullptr) stream->handler->OnStreamClosed(h2_error, ErrorCode::kNone);
  owner_->OnCapacity(this);
  if (draining_) ScheduleSend();
}

void HboneSession::NoteProtocolError() {
  if (!std::exchange(protocol_error_, true)) counters_->Add(Counter::kTunnelsProtocolError);
}

void HboneSession::Tick() {
  tick_ = loop_->After(options_.ping_interval_ms, [this] { Tick(); });
  early_resets_ = 0;
  const bool heard = bytes_received_ != bytes_at_tick_;
  bytes_at_tick_ = bytes_received_;
  if (heard || ping_waits_) return;
  ping_waits_ = true;
  const uint64_t heard_before = bytes_received_;
  loop_->Cancel(&deadline_);
  deadline_ = loop_->After(options_.ping_timeout_ms, [this, heard_before] {
    if (ping_waits_ && bytes_received_ == heard_before) {
      counters_->Add(Counter::kTunnelsPingTimeout);
      return Close(ErrorCode::kHbonePingTimeout, "no answer to PING");
    }
    ping_waits_ = false;
  });
  (void)nghttp2_submit_ping(http2_, NGHTTP2_FLAG_NONE, nullptr);
  ScheduleSend();
}

void HboneSession::Drain() {
  if (state_ != State::kOpen) return Close(ErrorCode::kDrained, "drained before it was established");
  if (draining_) return;
  draining_ = true;
  if (role_ == Role::kServer) {
    (void)nghttp2_submit_shutdown_notice(http2_);
    // After the notice has surely arrived, the GOAWAY that names the last stream which will be served.
    loop_->Cancel(&tick_);
    tick_ = loop_->After(kDrainNoticeMs, [this] { FinishNotice(); });
  }
  ScheduleSend();
}

void HboneSession::FinishNotice() {
  (void)nghttp2_submit_goaway(http2_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(http2_),
                              NGHTTP2_NO_ERROR, nullptr, 0);
  tick_ = loop_->After(options_.ping_interval_ms, [this] { Tick(); });
  ScheduleSend();
}

void HboneSession::EndIfDrained() {
  const bool over = nghttp2_session_want_read(http2_) == 0 && nghttp2_session_want_write(http2_) == 0;
  const bool drained = draining_ && role_ == Role::kClient && streams_.empty();
  if (over || drained) Close(ErrorCode::kHboneGoaway, "drained");
}

void HboneSession::Close(ErrorCode code, const std::string& detail) {
  if (state_ == State::kClosed || close_noted_) return;
  close_noted_ = true;
  close_code_ = code;
  close_detail_ = detail;
  if (!inside_http2_) FinishClose();
}

void HboneSession::FinishClose() {
  const bool say_goodbye = state_ == State::kOpen && stream_->error() == ErrorCode::kNone;
  state_ = State::kClosed;
  loop_->Cancel(&deadline_);
  loop_->Cancel(&tick_);
  // From here on nghttp2's callbacks find no stream, and handlers that look for another tunnel do not find this one.
  const auto streams = std::move(streams_);
  streams_.clear();
  std::vector<HboneStreamHandler*> handlers;
  for (const auto& [id, stream] : streams) {
    if (stream->handler != nullptr) handlers.push_back(std::exchange(stream->handler, nullptr));
  }
  if (say_goodbye) SendGoaway();
  fd_.Reset();
  for (HboneStreamHandler* handler : handlers) handler->OnStreamClosed(0, close_code_);
  owner_->OnSessionClosed(this, close_code_, close_detail_);
}

void HboneSession::SendGoaway() {
  const bool protocol = close_code_ == ErrorCode::kHboneProtocol;
  (void)nghttp2_session_terminate_session(http2_, protocol ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_NO_ERROR);
  const uint8_t* data = nullptr;
  ssize_t size = 0;
  while (!stream_->blocked() && (size = nghttp2_session_mem_send(http2_, &data)) > 0) {
    AppendFrame(data, static_cast<size_t>(size));
  }
  (void)FlushFrames();
  stream_->Shutdown();
}

}  // namespace groundwire
