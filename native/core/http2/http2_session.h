// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 connection (RFC 9113), either end of it, over whatever carries bytes.
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/counters.h"
#include "http2/frame_budget.h"
#include "http2/header_list.h"
#include "http2/http2_options.h"
#include "http2/http2_stream.h"
#include "io/byte_stream.h"
#include "io/event_loop.h"
#include "io/kept_memory.h"
#include "io/thread_scratch.h"

namespace groundwire {

class Http2Session;

class Http2SessionOwner {
 public:
  /// The stream of bytes is open: a secured one has proven who the peer is.
  virtual void OnEstablished(Http2Session* session) = 0;
  /// Server only. The owner answers with Respond or Refuse, now or later. Http2Stream::peer_ended:
  /// the request has no body.
  virtual void OnRequest(Http2Session* session, Http2Stream* stream, HeaderList headers) = 0;
  /// Server only. A request that HTTP/2 itself does not allow, as far as it was read; it has been
  /// reset.
  virtual void OnMalformedRequest(Http2Session*, const HeaderList&, const char* /*detail*/) {}
  /// A stream ended or the peer changed its limit: there may be room, or nothing left to wait for.
  virtual void OnCapacity(Http2Session* session) = 0;
  /// The last call. The owner hands the session to EventLoop::Discard.
  virtual void OnSessionClosed(Http2Session* session, ErrorCode code,
                               const std::string& detail) = 0;

 protected:
  ~Http2SessionOwner() = default;
};

class Http2Session final : public ByteStreamUser, public Discardable {
 public:
  enum class Role : uint8_t { kClient, kServer };
  /// kOpening → kOpen → kClosed, forward only.
  enum class State : uint8_t { kOpening, kOpen, kClosed };

  /// `stream` may still have to open.
  Http2Session(Role role, std::unique_ptr<ByteStream> stream, const Http2Options& options,
               EventLoop* loop, ThreadScratch* scratch, Counters* counters,
               Http2SessionOwner* owner);
  ~Http2Session() override;

  /// Before Start: how much a stream's peer may send ahead follows that account, and is less at
  /// first. Otherwise it is the option's as it is.
  void LimitWindows(const KeptAccount* account) { account_ = account; }
  /// Begins to open the stream. On failure the session is unusable and the owner is not called.
  Status Start();
  void OnStreamReady(bool readable, bool writable) override;

  /// Client. nullptr: no stream can be opened here any more. `body`: the handler is asked for it;
  /// otherwise the request ends with its headers. Texts are taken.
  Http2Stream* Request(std::span<const HeaderView> headers, bool body, Http2StreamHandler* handler);
  /// Client: the server takes CONNECT with :protocol (RFC 8441); known once its SETTINGS came.
  bool takes_extended_connect() const;
  /// Server: a 1xx before the response, as often as wanted.
  void RespondInterim(Http2Stream* stream, std::span<const HeaderView> headers);
  /// Server: the response; from here on the stream belongs to `handler`, which is asked for the body
  /// where there is one.
  void Respond(Http2Stream* stream, std::span<const HeaderView> headers, bool body,
               Http2StreamHandler* handler);
  /// Before the body's end: what follows it.
  void SetTrailers(Http2Stream* stream, std::span<const HeaderView> trailers);
  /// Server: who learns of what comes before the response, and that there will be none.
  void SetHandler(Http2Stream* stream, Http2StreamHandler* handler);
  /// Server: a response without a body, and no interest in the rest of the request; the stream is
  /// gone for the caller.
  void Refuse(Http2Stream* stream, uint16_t status);
  /// The handler has bytes, or their end, for the peer.
  void Resume(Http2Stream* stream);
  void Consume(Http2Stream* stream, size_t size);
  /// RST_STREAM; the handler is not called again.
  void Reset(Http2Stream* stream, uint32_t h2_error);
  /// Client: the request waits here, because the peer takes no more streams at once, or no bytes.
  bool IsHeldBack(const Http2Stream* stream) const;
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
  friend class Http2Callbacks;

  Status OpenHttp2();
  uint32_t header_list_bytes_max() const;
  void SubmitTrailers(const Http2Stream& stream);
  void ContinueOpening();
  void ReceiveTurn();
  void ScheduleReceive();
  /// false: the turn is over, or the session is; bytes that are left wait in `unparsed_`.
  bool Parse(const uint8_t* data, size_t size, uint64_t end_us);
  /// Frames of which each may be honest, and ten thousand are not.
  void CountFrame(const FrameScanner::Header& header);
  void Spend(Flood kind);
  void ScheduleSend();
  void SendTurn();
  /// Takes all streams' windows along, by SETTINGS: one change under way at a time.
  void AdjustWindows();
  bool FlushFrames();
  void ResumeAfterFlush();
  void AppendFrame(const uint8_t* data, size_t size);
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
  State state_ = State::kOpening;
  bool draining_ = false;
  bool drain_once_open_ = false;
  bool send_scheduled_ = false;
  /// The last turn of sending left something for when the stream takes bytes again.
  bool send_blocked_ = false;
  bool receive_scheduled_ = false;
  /// Inside an nghttp2 call: the session object must outlive it, so Close only takes a note.
  bool inside_http2_ = false;
  bool close_noted_ = false;
  bool ping_waits_ = false;
  bool settings_wait_ = false;  // for the peer to acknowledge them
  bool window_short_ = false;   // a stream was read as fast as it let the peer send
  bool protocol_error_ = false;
  std::string protocol_detail_;
  ErrorCode close_code_ = ErrorCode::kNone;
  std::string close_detail_;
  std::unique_ptr<ByteStream> stream_;
  const Http2Options& options_;
  EventLoop* const loop_;
  ThreadScratch* const scratch_;
  Counters* const counters_;
  Http2SessionOwner* const owner_;
  const KeptAccount* account_ = nullptr;
  uint32_t window_bytes_ = 0;
  nghttp2_session* http2_ = nullptr;
  std::unordered_map<int32_t, std::unique_ptr<Http2Stream>> streams_;
  /// The block that arrives: between its HEADERS and its end no other frame may come.
  HeaderList arriving_;
  /// Streams whose application bytes wait for the socket or for the next turn, not for the
  /// application.
  std::vector<int32_t> waiting_for_socket_;
  size_t frames_size_ = 0;  // used part of scratch_->frames, within one SendTurn
  size_t turn_bytes_ = 0;
  uint64_t streams_total_ = 0;
  size_t streams_lost_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_at_tick_ = 0;
  FrameBudget budget_;
  FrameScanner scanner_;
  /// What a turn that was cut left over.
  std::vector<uint8_t> unparsed_;
  EventLoop::TimerId ping_deadline_{};
  EventLoop::TimerId tick_{};
};

}  // namespace groundwire
