// SPDX-License-Identifier: Apache-2.0
#include "http2/http2_session.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "http2/http2_callbacks.h"

namespace groundwire {
namespace {

constexpr uint32_t kMaxFrameBytes = 1 << 20;
// A turn of one session ends after this many reads, so that one busy tunnel cannot hold the loop.
constexpr int kReadsPerTurn = 16;
// ...or after this time, or a close, looked at after this many frames: a frame can cost a system call,
// so 64 KiB of frames of one byte are 6,500 of them. Both are far above what bulk data needs: a
// full read is some ten frames and 100 us.
constexpr uint64_t kTurnUs = 1000;
constexpr uint32_t kFramesPerLook = 32;
// Frames that wait for a peer who sends but does not read; several for each stream that may be open
// at once.
constexpr size_t kQueuedFramesMax = 2000;
constexpr uint32_t kDrainNoticeMs = 1000;

/// Nothing went wrong: it was idle, is drained, or is no longer needed.
bool IsOrderly(ErrorCode end) {
  return end == ErrorCode::kNone || end == ErrorCode::kHboneGoaway || end == ErrorCode::kDrained;
}

std::vector<nghttp2_nv> FieldsOf(std::span<const HeaderView> headers) {
  std::vector<nghttp2_nv> fields;
  fields.reserve(headers.size());
  for (const auto& [name, value] : headers) {
    // nghttp2 copies both, the API is only not const.
    fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                      value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return fields;
}

}  // namespace

Http2Session::Http2Session(Role role, std::unique_ptr<ByteStream> stream,
                           const Http2Options& options, EventLoop* loop, ThreadScratch* scratch,
                           Counters* counters, Http2SessionOwner* owner)
    : role_(role),
      stream_(std::move(stream)),
      options_(options),
      loop_(loop),
      scratch_(scratch),
      counters_(counters),
      owner_(owner),
      scanner_(role == Role::kServer ? NGHTTP2_CLIENT_MAGIC_LEN : 0) {}

Http2Session::~Http2Session() {
  loop_->Cancel(&ping_deadline_);
  loop_->Cancel(&tick_);
  nghttp2_session_del(http2_);
}

Status Http2Session::Start() { return stream_->Start(this); }

void Http2Session::OnStreamReady(bool readable, bool writable) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kOpening) return ContinueOpening();
  if (writable && send_blocked_) ScheduleSend();
  // One that was cut goes on when the others had their turn.
  if (readable && !receive_scheduled_) ReceiveTurn();
}

void Http2Session::ContinueOpening() {
  const StreamState opened = stream_->Open();
  if (opened == StreamState::kBlocked) return;
  if (opened != StreamState::kOk) return Close(stream_->error(), stream_->error_detail());
  if (const Status made = OpenHttp2(); !made.ok())
    return Close(ErrorCode::kOutOfFiles, made.ToString());
  state_ = State::kOpen;
  tick_ = loop_->After(options_.ping_interval_ms, [this] { Tick(); });
  owner_->OnEstablished(this);
  if (state_ != State::kOpen) return;
  if (drain_once_open_) Drain();
  ScheduleSend();
  ReceiveTurn();
}

Status Http2Session::OpenHttp2() {
  static nghttp2_session_callbacks* const callbacks = Http2Callbacks::Make();
  nghttp2_option* option = Http2Callbacks::MakeOptions(options_);
  if (callbacks == nullptr || option == nullptr) return Status::Error("nghttp2 callbacks", 0);
  const int made = role_ == Role::kClient
                       ? nghttp2_session_client_new2(&http2_, callbacks, this, option)
                       : nghttp2_session_server_new2(&http2_, callbacks, this, option);
  nghttp2_option_del(option);
  if (made != 0) return Status::Error("nghttp2_session_new", 0, nghttp2_strerror(made));

  window_bytes_ = account_ == nullptr ? options_.stream_window_bytes
                                      : account_->FirstWindow(options_.stream_window_bytes);
  settings_wait_ = true;
  const bool client = role_ == Role::kClient;
  const std::array<nghttp2_settings_entry, 5> settings = {{
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window_bytes_},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrameBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, header_list_bytes_max()},
      // Each role has one setting of its own: a client refuses pushes, a server says how many
      // streams it serves.
      {client ? NGHTTP2_SETTINGS_ENABLE_PUSH : NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
       client ? 0U : options_.streams_served_max},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
  }};
  const bool extended = !client && options_.extended_connect;
  int result = nghttp2_submit_settings(http2_, NGHTTP2_FLAG_NONE, settings.data(),
                                       extended ? settings.size() : settings.size() - 1);
  if (result == 0) {
    result = nghttp2_session_set_local_window_size(
        http2_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(options_.connection_window_bytes));
  }
  return result == 0 ? Status::Ok()
                     : Status::Error("nghttp2 settings", 0, nghttp2_strerror(result));
}

void Http2Session::ReceiveTurn() {
  receive_scheduled_ = false;
  if (state_ != State::kOpen) return;
  const uint64_t end_us = MonotonicUs() + kTurnUs;
  // A peer whose frames are that small is read in small pieces: little waits between the turns.
  const bool was_cut = !unparsed_.empty();
  const size_t piece = was_cut ? ThreadScratch::kBytes / 8 : ThreadScratch::kBytes;
  const std::vector<uint8_t> left = std::move(unparsed_);
  unparsed_.clear();
  if (was_cut && !Parse(left.data(), left.size(), end_us)) return;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ReadResult read = stream_->Read(scratch_->arriving.get(), piece);
    if (read.state == StreamState::kBlocked) return;
    if (read.state == StreamState::kEnd) {
      return Close(ErrorCode::kHboneGoaway, "peer closed the connection");
    }
    if (read.state == StreamState::kError) {
      return Close(bytes_received_ == 0 ? stream_->error() : ErrorCode::kPeerReset,
                   stream_->error_detail());
    }
    bytes_received_ += read.size;
    if (!Parse(scratch_->arriving.get(), read.size, end_us)) return;
  }
  ScheduleReceive();
}

void Http2Session::ScheduleReceive() {
  if (std::exchange(receive_scheduled_, true)) return;
  loop_->Defer([this] { ReceiveTurn(); });
}

bool Http2Session::Parse(const uint8_t* data, size_t size, uint64_t end_us) {
  while (size > 0) {
    inside_http2_ = true;
    const size_t part = scanner_.Advance(data, size, kFramesPerLook,
                                         [this](const FrameScanner::Header& h) { CountFrame(h); });
    const ssize_t taken = nghttp2_session_mem_recv(http2_, data, part);
    inside_http2_ = false;
    if (close_noted_) {
      FinishClose();
      return false;
    }
    if (stream_->blocked() && nghttp2_session_get_outbound_queue_size(http2_) > kQueuedFramesMax) {
      counters_->Add(options_.counters.flooded);
      Close(ErrorCode::kHboneProtocol, "peer sends but does not read");
      return false;
    }
    if (taken < 0) {
      if (taken == NGHTTP2_ERR_FLOODED) {
        counters_->Add(options_.counters.flooded);
      } else {
        CountProtocolError();
      }
      // Let the GOAWAY that says why leave, then end.
      SendTurn();
      Close(ErrorCode::kHboneProtocol, nghttp2_strerror(static_cast<int>(taken)));
      return false;
    }
    data += part;
    size -= part;
    if (MonotonicUs() < end_us) continue;
    if (size > 0) counters_->Add(options_.counters.turns_cut);
    unparsed_.assign(data, data + size);
    ScheduleSend();
    ScheduleReceive();
    return false;
  }
  ScheduleSend();
  return true;
}

void Http2Session::CountFrame(const FrameScanner::Header& header) {
  switch (header.type) {
    case NGHTTP2_DATA:
      if (header.length == 0 && (header.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        Spend(Flood::kEmptyData);
      break;
    case NGHTTP2_WINDOW_UPDATE:
      return Spend(Flood::kWindowUpdates);
    case NGHTTP2_PING:
      return Spend(Flood::kPings);
    case NGHTTP2_SETTINGS:
      return Spend(Flood::kSettings);
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_RST_STREAM:
      break;
    default:
      Spend(Flood::kOtherFrames);
  }
}

void Http2Session::Spend(Flood kind) {
  static constexpr std::array<const char*, kFloodCount> kDetails = {
      "too many streams reset that had carried nothing",
      "too many streams that HTTP/2 does not allow",
      "too many empty DATA frames",
      "too many window updates",
      "too many PINGs",
      "too many SETTINGS",
      "too many frames that carry nothing",
  };
  // The rest of what was read comes here too before the session ends: said once.
  if (!budget_.Spend(kind)) return;
  const auto index = static_cast<size_t>(kind);
  counters_->Add(options_.counters.flooded);
  counters_->Add(options_.counters.floods[index]);
  Close(ErrorCode::kHboneProtocol, kDetails[index]);
}

void Http2Session::ScheduleSend() {
  if (send_scheduled_ || state_ != State::kOpen) return;
  send_scheduled_ = true;
  loop_->Defer([this] { SendTurn(); });
}

void Http2Session::SendTurn() {
  send_scheduled_ = false;
  if (state_ != State::kOpen) return;
  if (stream_->blocked()) {
    const StreamState sent = stream_->Flush();
    send_blocked_ = sent == StreamState::kBlocked;
    if (send_blocked_) return;
    if (sent != StreamState::kOk) return Close(ErrorCode::kPeerReset, stream_->error_detail());
  }
  AdjustWindows();
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
  send_blocked_ = stream_->blocked();
  inside_http2_ = false;
  // The note first: Close takes only one, and without FinishClose the session would end for nobody.
  if (close_noted_) return FinishClose();
  if (stream_->error() != ErrorCode::kNone)
    return Close(ErrorCode::kPeerReset, stream_->error_detail());
  if (!waiting_for_socket_.empty() && !stream_->blocked()) ScheduleSend();
  EndIfDrained();
}

void Http2Session::AppendFrame(const uint8_t* data, size_t size) {
  if (frames_size_ + size > ThreadScratch::kBytes) (void)FlushFrames();
  if (size > ThreadScratch::kBytes) {
    (void)stream_->Write(data, size);
    return;
  }
  std::memcpy(scratch_->frames.get() + frames_size_, data, size);
  frames_size_ += size;
}

bool Http2Session::FlushFrames() {
  if (frames_size_ > 0) {
    (void)stream_->Write(scratch_->frames.get(), frames_size_);
    frames_size_ = 0;
  }
  return stream_->Flush() == StreamState::kOk;
}

void Http2Session::ResumeAfterFlush() {
  std::vector<int32_t> waiting;
  waiting.swap(waiting_for_socket_);
  for (const int32_t id : waiting) {
    Http2Stream* stream = Http2Callbacks::Find(this, id);
    if (stream == nullptr || !stream->deferred) continue;
    stream->deferred = false;
    (void)nghttp2_session_resume_data(http2_, id);
  }
}

Http2Stream* Http2Session::Request(std::span<const HeaderView> headers, bool body,
                                   Http2StreamHandler* handler) {
  if (state_ != State::kOpen || draining_ || streams_.size() >= streams_max()) return nullptr;
  auto stream = std::make_unique<Http2Stream>();
  stream->handler = handler;
  const nghttp2_data_provider provider = Http2Callbacks::ProviderOf(stream.get());
  const std::vector<nghttp2_nv> fields = FieldsOf(headers);
  const int32_t id = nghttp2_submit_request(http2_, nullptr, fields.data(), fields.size(),
                                            body ? &provider : nullptr, nullptr);
  if (id < 0) {
    // No stream ids are left, or a GOAWAY came: nothing more can begin here.
    draining_ = true;
    return nullptr;
  }
  stream->id = id;
  stream->opened_us = loop_->now_us();
  ++streams_total_;
  Http2Stream* const made = stream.get();
  streams_[id] = std::move(stream);
  ScheduleSend();
  return made;
}

bool Http2Session::takes_extended_connect() const {
  return http2_ != nullptr &&
         nghttp2_session_get_remote_settings(http2_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

void Http2Session::RespondInterim(Http2Stream* stream, std::span<const HeaderView> headers) {
  if (state_ == State::kClosed) return;
  const std::vector<nghttp2_nv> fields = FieldsOf(headers);
  (void)nghttp2_submit_headers(http2_, NGHTTP2_FLAG_NONE, stream->id, nullptr, fields.data(),
                               fields.size(), nullptr);
  ScheduleSend();
}

void Http2Session::Respond(Http2Stream* stream, std::span<const HeaderView> headers, bool body,
                           Http2StreamHandler* handler) {
  if (state_ == State::kClosed) return;
  stream->handler = handler;
  stream->answered = true;
  const nghttp2_data_provider provider = Http2Callbacks::ProviderOf(stream);
  const std::vector<nghttp2_nv> fields = FieldsOf(headers);
  (void)nghttp2_submit_response(http2_, stream->id, fields.data(), fields.size(),
                                body ? &provider : nullptr);
  ScheduleSend();
}

void Http2Session::SetTrailers(Http2Stream* stream, std::span<const HeaderView> trailers) {
  for (const auto& [name, value] : trailers) stream->trailers.emplace_back(name, value);
}

void Http2Session::SubmitTrailers(const Http2Stream& stream) {
  std::vector<HeaderView> trailers;
  for (const auto& [name, value] : stream.trailers) trailers.push_back({name, value});
  const std::vector<nghttp2_nv> fields = FieldsOf(trailers);
  (void)nghttp2_submit_trailer(http2_, stream.id, fields.data(), fields.size());
}

void Http2Session::SetHandler(Http2Stream* stream, Http2StreamHandler* handler) {
  stream->handler = handler;
}

void Http2Session::Refuse(Http2Stream* stream, uint16_t status) {
  if (state_ == State::kClosed) return;
  const std::string text = std::to_string(status);
  const std::array<HeaderView, 1> headers = {{{":status", text}}};
  stream->refused = true;
  Respond(stream, headers, false, nullptr);
}

void Http2Session::Resume(Http2Stream* stream) {
  if (state_ == State::kClosed || !stream->deferred) return;
  stream->deferred = false;
  (void)nghttp2_session_resume_data(http2_, stream->id);
  ScheduleSend();
}

void Http2Session::Consume(Http2Stream* stream, size_t size) {
  if (state_ == State::kClosed || size == 0) return;
  stream->unread -= static_cast<uint32_t>(size);
  stream->read += static_cast<uint32_t>(size);
  if (stream->read >= window_bytes_ && stream->unread == 0) {
    stream->read = 0;
    window_short_ = true;
  }
  (void)nghttp2_session_consume_stream(http2_, stream->id, size);
  ScheduleSend();
}

void Http2Session::AdjustWindows() {
  if (account_ == nullptr || settings_wait_) return;
  const uint32_t max = account_->Window(options_.stream_window_bytes);
  const uint32_t wanted = std::exchange(window_short_, false) ? window_bytes_ * 2 : window_bytes_;
  const uint32_t next = std::min(wanted, max);
  if (next == window_bytes_) return;
  if (next < window_bytes_) counters_->Add(Counter::kWindowsShrunk);
  window_bytes_ = next;
  settings_wait_ = true;
  const nghttp2_settings_entry entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, next};
  (void)nghttp2_submit_settings(http2_, NGHTTP2_FLAG_NONE, &entry, 1);
}

void Http2Session::Reset(Http2Stream* stream, uint32_t h2_error) {
  if (state_ == State::kClosed) return;
  stream->handler = nullptr;
  stream->answered = true;
  (void)nghttp2_submit_rst_stream(http2_, NGHTTP2_FLAG_NONE, stream->id, h2_error);
  // nghttp2 forgets a request that has not left only once the peer would take it, which may be
  // never.
  if (role_ == Role::kClient && IsHeldBack(stream))
    loop_->Defer([this, id = stream->id] { Forget(id, 0); });
  ScheduleSend();
}

bool Http2Session::IsHeldBack(const Http2Stream* stream) const {
  return state_ == State::kOpen && nghttp2_session_find_stream(http2_, stream->id) == nullptr;
}

uint32_t Http2Session::header_list_bytes_max() const {
  return role_ == Role::kClient ? options_.response_list_bytes_max
                                : options_.request_list_bytes_max;
}

size_t Http2Session::streams_max() const {
  if (http2_ == nullptr) return options_.streams_used_max;
  const uint32_t peer =
      nghttp2_session_get_remote_settings(http2_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return std::min(peer, options_.streams_used_max);
}

void Http2Session::Forget(int32_t stream_id, uint32_t h2_error) {
  const auto found = streams_.find(stream_id);
  if (found == streams_.end()) return;
  // Kept until the handler has been told: it may still look at the stream.
  const std::unique_ptr<Http2Stream> stream = std::move(found->second);
  streams_.erase(found);
  if (stream->handler != nullptr) stream->handler->OnStreamClosed(h2_error, ErrorCode::kNone);
  owner_->OnCapacity(this);
  if (draining_) ScheduleSend();
}

void Http2Session::CountProtocolError() {
  if (!std::exchange(protocol_error_, true)) counters_->Add(options_.counters.protocol_error);
}

void Http2Session::NoteProtocolError(const nghttp2_frame& goaway) {
  CountProtocolError();
  const nghttp2_goaway& said = goaway.goaway;
  protocol_detail_ =
      said.opaque_data_len > 0
          ? std::string(reinterpret_cast<const char*>(said.opaque_data), said.opaque_data_len)
          : nghttp2_http2_strerror(said.error_code);
}

void Http2Session::Tick() {
  tick_ = loop_->After(options_.ping_interval_ms, [this] { Tick(); });
  budget_.Renew();
  const bool heard = bytes_received_ != bytes_at_tick_;
  bytes_at_tick_ = bytes_received_;
  if (heard || ping_waits_) return;
  ping_waits_ = true;
  const uint64_t heard_before = bytes_received_;
  loop_->Cancel(&ping_deadline_);
  ping_deadline_ = loop_->After(options_.ping_timeout_ms, [this, heard_before] {
    if (ping_waits_ && bytes_received_ == heard_before) {
      counters_->Add(options_.counters.ping_timeout);
      return Close(ErrorCode::kHbonePingTimeout, "no answer to PING");
    }
    ping_waits_ = false;
  });
  (void)nghttp2_submit_ping(http2_, NGHTTP2_FLAG_NONE, nullptr);
  ScheduleSend();
}

void Http2Session::Drain() {
  if (state_ != State::kOpen) {
    drain_once_open_ = true;
    return;
  }
  if (draining_) return;
  draining_ = true;
  if (role_ == Role::kServer) {
    (void)nghttp2_submit_shutdown_notice(http2_);
    // After the notice has surely arrived, the GOAWAY that names the last stream which will be
    // served.
    loop_->Cancel(&tick_);
    tick_ = loop_->After(kDrainNoticeMs, [this] { FinishNotice(); });
  }
  ScheduleSend();
}

void Http2Session::FinishNotice() {
  (void)nghttp2_submit_goaway(http2_, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(http2_), NGHTTP2_NO_ERROR,
                              nullptr, 0);
  tick_ = loop_->After(options_.ping_interval_ms, [this] { Tick(); });
  ScheduleSend();
}

void Http2Session::EndIfDrained() {
  const bool over =
      nghttp2_session_want_read(http2_) == 0 && nghttp2_session_want_write(http2_) == 0;
  const bool drained = draining_ && role_ == Role::kClient && streams_.empty();
  if (over && protocol_error_) return Close(ErrorCode::kHboneProtocol, protocol_detail_);
  // The last bytes of the last stream may still wait for the socket, whose next edge leads back here.
  if (stream_->blocked()) return;
  if (over || drained) Close(ErrorCode::kHboneGoaway, "drained");
}

void Http2Session::Close(ErrorCode code, const std::string& detail) {
  if (state_ == State::kClosed || close_noted_) return;
  close_noted_ = true;
  close_code_ = code;
  close_detail_ = detail;
  if (!inside_http2_) FinishClose();
}

void Http2Session::FinishClose() {
  const bool say_goodbye = state_ == State::kOpen && stream_->error() == ErrorCode::kNone;
  state_ = State::kClosed;
  loop_->Cancel(&ping_deadline_);
  loop_->Cancel(&tick_);
  // From here on nghttp2's callbacks find no stream, and handlers that look for another tunnel do
  // not find this one.
  const auto streams = std::move(streams_);
  streams_.clear();
  std::vector<Http2StreamHandler*> handlers;
  for (const auto& [id, stream] : streams) {
    if (stream->handler != nullptr) handlers.push_back(std::exchange(stream->handler, nullptr));
  }
  streams_lost_ = handlers.size();
  if (say_goodbye) SendGoaway();
  if (say_goodbye && streams_lost_ == 0 && IsOrderly(close_code_)) {
    stream_->CloseInOrder();
  } else {
    stream_->Close();
  }
  for (Http2StreamHandler* handler : handlers) handler->OnStreamClosed(0, close_code_);
  owner_->OnSessionClosed(this, close_code_, close_detail_);
}

void Http2Session::SendGoaway() {
  const bool protocol = close_code_ == ErrorCode::kHboneProtocol;
  (void)nghttp2_session_terminate_session(http2_,
                                          protocol ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_NO_ERROR);
  const uint8_t* data = nullptr;
  ssize_t size = 0;
  while (!stream_->blocked() && (size = nghttp2_session_mem_send(http2_, &data)) > 0) {
    AppendFrame(data, static_cast<size_t>(size));
  }
  (void)FlushFrames();
  stream_->Shutdown();
}

}  // namespace groundwire
