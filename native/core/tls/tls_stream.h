// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "io/byte_stream.h"
#include "io/event_loop.h"
#include "io/thread_scratch.h"
#include "tls/peer_check.h"
#include "tls/secured_stream.h"
#include "tls/tls_identity.h"

namespace groundwire {

/// TLS on a non-blocking socket. Records are encrypted into the thread's scratch and leave in one
/// send; what the socket does not take is kept (at most one scratch), so an idle or keeping-up stream
/// owns no buffer.
class TlsStream final : public SecuredStream, public EventHandler {
 public:
  enum class Role { kClient, kServer };
  /// `check` says whom to accept; its spans must outlive the stream.
  TlsStream(UniqueFd fd, Role role, std::shared_ptr<const TlsIdentity> identity, PeerCheck check,
            const SecuredStreamOptions& options, EventLoop* loop, ThreadScratch* scratch);
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  Status Start(ByteStreamUser* user) override;
  StreamState Open() override;
  void OnEvents(uint32_t events) override;
  ReadResult Read(uint8_t* buffer, size_t size) override;
  StreamState Write(const uint8_t* data, size_t size) override;
  StreamState Flush() override;
  bool blocked() const override { return !unsent_.empty(); }
  void Shutdown() override;
  void Close() override;
  void CloseInOrder() override;
  ErrorCode error() const override { return error_; }
  const std::string& error_detail() const override { return check_.detail; }

  /// Records written with one key before the next is agreed on, far below what AES-GCM allows (RFC
  /// 8446 5.5).
  void set_records_per_key(uint64_t records) { records_per_key_ = records; }
  const std::string& own_identity() const override { return identity_->name; }
  const std::string& peer_identity() const override { return check_.peer; }
  uint64_t own_not_after_ms() const override { return identity_->not_after_ms; }
  uint64_t peer_not_after_ms() const override { return check_.peer_not_after_ms; }
  uint64_t generation() const override { return identity_->generation; }
  const std::string& protocol() const override { return protocol_; }
  void LingerAt(LingeringSockets* lingering, uint32_t pod) override {
    lingering_ = lingering;
    pod_ = pod;
  }

  // Called by the record layer.
  int TakeRecords(const char* data, int size);
  int ReadSocket(char* buffer, int size);

 private:
  /// kConnecting (client only) → kHandshaking → kOpen → kClosed, forward only.
  enum class Stage : uint8_t { kConnecting, kHandshaking, kOpen, kClosed };

  bool Prepare();
  void StartDeadline(uint32_t timeout_ms, ErrorCode code, const char* detail);
  StreamState FinishHandshake();
  StreamState Fail(int ssl_result);
  StreamState FailSend();
  StreamState SendUnsent();

  UniqueFd fd_;
  const Role role_;
  const std::shared_ptr<const TlsIdentity> identity_;
  PeerCheck check_;
  const uint32_t connect_timeout_ms_;
  const uint32_t handshake_timeout_ms_;
  EventLoop* const loop_;
  ThreadScratch* const scratch_;
  ByteStreamUser* user_ = nullptr;
  LingeringSockets* lingering_ = nullptr;
  uint32_t pod_ = 0;  // for which it lingers
  Stage stage_;
  EventLoop::TimerId deadline_{};
  std::string protocol_;
  SSL* ssl_ = nullptr;  // from the first bytes of the handshake on
  /// Bytes of scratch_->records that wait for Flush; 0 outside of a turn's writing.
  size_t batched_ = 0;
  std::vector<uint8_t> unsent_;
  size_t unsent_offset_ = 0;
  uint64_t records_per_key_ = uint64_t{1} << 23;
  uint64_t records_ = 0;  // written with the present key
  bool read_blocked_ = false;
  bool to_the_end_ = false;
  bool end_ = false;
  /// The peer has sent something, or its end.
  bool heard_ = false;
  ErrorCode error_ = ErrorCode::kNone;
};

}  // namespace groundwire
