// SPDX-License-Identifier: Apache-2.0
// One HBONE connection: TCP, then TLS, then HTTP/2 with a CONNECT stream for each application
// connection; either end of it. Wire: RFC 9113 section 8.5; settings, headers and statuses as
// ztunnel (src/proxy/h2 @62d8265).
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/counters.h"
#include "base/unique_fd.h"
#include "hbone/hbone_stream.h"
#include "io/byte_stream.h"
#include "io/event_loop.h"
#include "io/thread_scratch.h"
#include "port/engine_options.h"

namespace groundwire {

struct HboneOptions {
  uint32_t stream_window_bytes = kStreamWindowBytes;
  uint32_t connection_window_bytes = kConnectionWindowBytes;
  uint32_t streams_served_max = 200;
  uint32_t streams_used_max = 100;
  uint32_t connect_timeout_ms = 10000;
  uint32_t tls_timeout_ms = 10000;
  uint32_t ping_interval_ms = 10000;
  uint32_t ping_timeout_ms = 20000;
};

class HboneSession;

class HboneSessionOwner {
 public:
  /// TLS and ALPN are done: the peer is who it should be.
  virtual void OnEstablished(HboneSession* session) = 0;
  /// Server only. The owner answers with Respond or Refuse, now or later.
  virtual void OnRequest(HboneSession* session, HboneStream* stream, HboneRequest request) = 0;
  /// Server only. A request that HTTP/2 itself does not allow, as far as it was read; it has been
  /// reset.
  virtual void OnMalformedRequest(HboneSession*, const HboneRequest&, const char* /*detail*/) {}
  /// A stream ended or the peer changed its limit: there may be room, or nothing left to wait for.
  virtual void OnCapacity(HboneSession* session) = 0;
  /// The last call. The owner hands the session to EventLoop::Discard.
  virtual void OnSessionClosed(HboneSession* session, ErrorCode code,
                               const std::string& detail) = 0;

 protected:
  ~HboneSessionOwner() = default;
};

class HboneSession final : public EventHandler, public Discardable {
 public:
  enum class Role : uint8_t { kClient, kServer };
  /// kConnecting (client only) → kHandshaking → kOpen → kClosed, forward only.
  enum class State : uint8_t { kConnecting, kHandshaking, kOpen, kClosed };

  /// `stream` runs over `fd`; `fd` may still be connecting when `role` is client.
  HboneSession(Role role, UniqueFd fd, std::unique_ptr<ByteStream> stream,
               const HboneOptions& options, EventLoop* loop, ThreadScratch* scratch,
               Counters* counters, HboneSessionOwner* owner);
  ~HboneSession() override;

  /// Registers the socket and starts the first deadline. On failure the session is unusable and the
  /// owner is not called.
  Status Start();
  void OnEvents(uint32_t events) override;

  /// Client. nullptr: no stream can be opened here any more.
  HboneStream* Connect(const std::vector<HboneHeader>& headers, HboneStreamHandler* handler);
  /// Server: 200, the stream is open and belongs to `handler`.
  void Respond(HboneStream* stream, const std::vector<HboneHeader>& headers,
               HboneStreamHandler* handler);
  /// Server: who learns that a stream ended before it was answered.
  void SetHandler(HboneStream* stream, HboneStreamHandler* handler);
  /// Server: a final status with END_STREAM; the stream is gone for the caller.
  void Refuse(HboneStream* stream, uint16_t status);
  /// The application has bytes (or its end) for the tunnel.
  void Resume(HboneStream* stream);
  void Consume(HboneStream* stream, size_t size);
  /// RST_STREAM; the handler is not called again.
  void Reset(HboneStream* stream, uint32_t h2_error);
  /// Client: the CONNECT waits here, because the peer takes no more streams at once, or no bytes.
  bool IsHeldBack(const HboneStream* stream) const;
  /// What leaves here waits for the socket: the peer or the network takes no bytes.
  bool blocked() const { return stream_->blocked(); }

  /// No new streams; ends when the last one has ended. A server says so in two steps (RFC 9113
  /// 6.8). Before it is open: once it is, and has served those who wait for that.
  void Drain();
  /// Ends everything now; streams are told `code`. Safe from any callback.
  void Close(ErrorCode code, const std::string& detail);

  /// Why it was closed, for people; "" before.
  const std::string& close_detail() const { return close_detail_; }
  State state() const { return state_; }
  bool draining() const { return draining_; }
  size_t streams() const { return streams_.size(); }
  uint64_t streams_total() const { return streams_total_; }
  /// Streams whose handlers were told that the session ended.
  size_t streams_lost() const { return streams_lost_; }
  /// Streams that may be open here at once: our bound, or the peer's.
  size_t streams_max() const;

 private:
  friend class HboneCallbacks;

  Status OpenHttp2();
  void ContinueHandshake();
  void ReceiveTurn();
  void ScheduleSend();
  void SendTurn();
  bool FlushFrames();
  void ResumeAfterFlush();
  void AppendFrame(const uint8_t* data, size_t size);
  void StartDeadline(uint32_t timeout_ms, ErrorCode code, const char* detail);
  void CountProtocolError();
  /// nghttp2 ends the session with this GOAWAY, since the peer broke the rules.
  void NoteProtocolError(const nghttp2_frame& goaway);
  void Tick();
  void FinishNotice();
  void FinishClose();
  void SendGoaway();
  void EndIfDrained();
  void Forget(int32_t stream_id, uint32_t h2_error);

  const Role role_;
  State state_;
  bool draining_ = false;
  bool drain_once_open_ = false;
  bool send_scheduled_ = false;
  bool receive_scheduled_ = false;
  /// Inside an nghttp2 call: the session object must outlive it, so Close only takes a note.
  bool inside_http2_ = false;
  bool close_noted_ = false;
  bool ping_waits_ = false;
  bool protocol_error_ = false;
  std::string protocol_detail_;
  ErrorCode close_code_ = ErrorCode::kNone;
  std::string close_detail_;
  UniqueFd fd_;
  std::unique_ptr<ByteStream> stream_;
  const HboneOptions& options_;
  EventLoop* const loop_;
  ThreadScratch* const scratch_;
  Counters* const counters_;
  HboneSessionOwner* const owner_;
  nghttp2_session* http2_ = nullptr;
  std::unordered_map<int32_t, std::unique_ptr<HboneStream>> streams_;
  /// Streams whose application bytes wait for the socket or for the next turn, not for the
  /// application.
  std::vector<int32_t> waiting_for_socket_;
  size_t frames_size_ = 0;  // used part of scratch_->frames, within one SendTurn
  size_t turn_bytes_ = 0;
  uint64_t streams_total_ = 0;
  size_t streams_lost_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_at_tick_ = 0;
  uint32_t early_resets_ = 0;
  EventLoop::TimerId deadline_{};
  EventLoop::TimerId tick_{};
};

}  // namespace groundwire
