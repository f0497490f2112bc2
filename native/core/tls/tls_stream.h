// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/byte_stream.h"
#include "io/thread_scratch.h"
#include "tls/peer_check.h"
#include "tls/tls_identity.h"

namespace groundwire {

/// TLS on a non-blocking socket it does not own. Records are encrypted into the thread's scratch
/// and leave in one send; what the socket does not take is kept (at most one scratch), so an idle
/// or keeping-up stream owns no buffer.
class TlsStream final : public ByteStream {
 public:
  enum class Role { kClient, kServer };
  /// `check` says whom to accept; its spans must outlive the stream.
  TlsStream(int fd, Role role, std::shared_ptr<const TlsIdentity> identity, PeerCheck check,
            ThreadScratch* scratch);
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  void NotifyReadable(bool to_the_end) override {
    read_blocked_ = false;
    to_the_end_ = to_the_end_ || to_the_end;
  }
  StreamState Handshake() override;
  ReadResult Read(uint8_t* buffer, size_t size) override;
  StreamState Write(const uint8_t* data, size_t size) override;
  StreamState Flush() override;
  bool blocked() const override { return !unsent_.empty(); }
  void Shutdown() override;
  ErrorCode error() const override { return error_; }
  const std::string& error_detail() const override { return check_.detail; }

  /// Records written with one key before the next is agreed on, far below what AES-GCM allows (RFC
  /// 8446 5.5).
  void set_records_per_key(uint64_t records) { records_per_key_ = records; }
  const TlsIdentity& identity() const { return *identity_; }
  const std::string& peer() const { return check_.peer; }
  uint64_t peer_not_after_ms() const { return check_.peer_not_after_ms; }

  // Called by the record layer.
  int TakeRecords(const char* data, int size);
  int ReadSocket(char* buffer, int size);

 private:
  StreamState Fail(int ssl_result);
  StreamState FailSend();
  StreamState SendUnsent();

  const int fd_;
  const std::shared_ptr<const TlsIdentity> identity_;
  PeerCheck check_;
  ThreadScratch* const scratch_;
  SSL* ssl_ = nullptr;
  /// Bytes of scratch_->records that wait for Flush; 0 outside of a turn's writing.
  size_t batched_ = 0;
  std::vector<uint8_t> unsent_;
  size_t unsent_offset_ = 0;
  uint64_t records_per_key_ = uint64_t{1} << 23;
  uint64_t records_ = 0;  // written with the present key
  bool read_blocked_ = false;
  bool to_the_end_ = false;
  bool end_ = false;
  ErrorCode error_ = ErrorCode::kNone;
};

}  // namespace groundwire
