// SPDX-License-Identifier: Apache-2.0
// Carrying a connection's bytes: application to application (handoff, passthrough), or application
// to HBONE stream.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/error_code.gen.h"
#include "http2/http2_session.h"
#include "io/app_socket.h"
#include "io/reset_wait.h"
#include "io/thread_scratch.h"

namespace groundwire {

/// Bytes carried, counted when taken from a socket or the tunnel. sent: from the connection's
/// source to its destination.
struct RelayBytes {
  uint64_t sent = 0;
  uint64_t received = 0;
};

class RelayOwner {
 public:
  /// Both directions are over, or one end was reset and the other has been. Called once; the
  /// relay's sockets are closed. `detail` says why a tunnel was lost, otherwise it is "".
  virtual void OnRelayEnd(ErrorCode code, const std::string& detail) = 0;

 protected:
  ~RelayOwner() = default;
};

/// Two TCP sockets. A FIN on one side becomes a FIN on the other after the last byte, and so does a
/// reset become a reset (ResetWait says how long that may take); while one side does not take bytes
/// the other is not read.
class TcpRelay final {
 public:
  TcpRelay(EventLoop* loop, ThreadScratch* scratch, RelayBytes* bytes, RelayOwner* owner)
      : loop_(loop), scratch_(scratch), bytes_(bytes), owner_(owner), reset_wait_(loop) {}
  /// `source` may be watched by nobody yet; `destination` is connected. Takes both.
  void Start(UniqueFd source, UniqueFd destination);
  /// Cuts both sides with a reset; the owner is not called.
  void Abort();

 private:
  /// Epoll says which socket by which handler.
  struct End final : public EventHandler {
    TcpRelay* relay = nullptr;
    AppSocket socket;
    void OnEvents(uint32_t events) override;
  };

  void Turn();
  void Carry(End* from, End* to, size_t* budget);
  void CarryReset();
  void Finish(ErrorCode code);

  EventLoop* const loop_;
  ThreadScratch* const scratch_;
  RelayBytes* const bytes_;
  RelayOwner* const owner_;
  RequestTimer request_timer_;
  ResetWait reset_wait_;
  End source_;
  End destination_;
  bool turn_scheduled_ = false;
  bool over_ = true;
};

/// A TCP socket and an HBONE stream; resets as above, a stream's being RST_STREAM.
class StreamRelay final : public EventHandler, public Http2StreamHandler {
 public:
  /// `app_is_source`: bytes from the application count as sent (outbound), otherwise as received
  /// (inbound).
  StreamRelay(EventLoop* loop, RelayBytes* bytes, bool app_is_source, RelayOwner* owner)
      : loop_(loop),
        bytes_(bytes),
        owner_(owner),
        app_is_source_(app_is_source),
        reset_wait_(loop) {}
  /// The stream's handler is, or becomes, this relay.
  void Start(UniqueFd app, Http2Session* session, Http2Stream* stream);
  void Abort();

  void OnEvents(uint32_t events) override;
  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override;
  void OnResponse(uint16_t, const HeaderList&) override {}
  void OnStreamData(const uint8_t* data, size_t size) override;
  void OnStreamEnd() override;
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override;

 private:
  void CountSent(size_t size);
  void CountReceived(size_t size);
  void FinishIfDone();
  void CarryReset();
  void CutApplication(ErrorCode code);
  void CutTunnel();
  void Finish(ErrorCode code);

  EventLoop* const loop_;
  RelayBytes* const bytes_;
  RelayOwner* const owner_;
  const bool app_is_source_;
  RequestTimer request_timer_;
  ResetWait reset_wait_;
  AppSocket app_;
  Http2Session* session_ = nullptr;
  Http2Stream* stream_ = nullptr;
  bool tunnel_ended_ = false;
  bool end_sent_ = false;
  /// Why the tunnel's side broke off, while the application still takes what it had delivered.
  std::optional<ErrorCode> tunnel_broke_;
  std::string detail_;
  bool over_ = true;
};

}  // namespace groundwire
