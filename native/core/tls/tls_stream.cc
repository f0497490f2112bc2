// SPDX-License-Identifier: Apache-2.0
#include "tls/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "io/socket_options.h"

namespace groundwire {
namespace {

// One read call for several 16 KiB records, once the peer has proven who it is. The buffer is there
// only while something is in it; before that a client with half of a record would keep it. Measured
// (mallinfo2, each accepted stream, OpenSSL 3.0): nothing received 56.7 KB -> 0.5 KB, one byte 187.8
// KB -> 73 KB, waiting for the client's certificate 44.8 KB.
constexpr size_t kReadBufferBytes = size_t{128} * 1024;
constexpr uint32_t kReadToTheEnd = EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr char kLateHandshake[] = "TLS handshake not finished in time";

TlsStream* StreamOf(BIO* bio) { return static_cast<TlsStream*>(BIO_get_data(bio)); }

int BioWrite(BIO* bio, const char* data, int size) {
  return StreamOf(bio)->TakeRecords(data, size);
}

int BioRead(BIO* bio, char* buffer, int size) {
  BIO_clear_retry_flags(bio);
  const int count = StreamOf(bio)->ReadSocket(buffer, size);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return count;
}

long BioControl(BIO*, int command, long, void*) {
  // Flush belongs to the session, which knows when its turn ends; everything else is not for a
  // socket of ours.
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/// OpenSSL's record layer reads and writes through this, instead of through a socket BIO, so that
/// several records leave in one call. Made once a process and never freed.
BIO_METHOD* RecordMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made =
        BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "groundwire records");
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

/// OpenSSL's words for an error, without its numbers; ours for what is met most.
std::string ReasonOf(unsigned long error) {
  const char* const reason = ERR_reason_error_string(error);
  if (reason == nullptr) {
    char text[256] = {};
    ERR_error_string_n(error, text, sizeof text);
    return text;
  }
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return reason;
  if (ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return "peer sent no certificate";
  return ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET ? std::string("the peer says: ") + reason
                                                       : reason;
}

}  // namespace

TlsStream::TlsStream(UniqueFd fd, Role role, std::shared_ptr<const TlsIdentity> identity,
                     PeerCheck check, const SecuredStreamOptions& options, EventLoop* loop,
                     ThreadScratch* scratch)
    : fd_(std::move(fd)),
      role_(role),
      identity_(std::move(identity)),
      check_(std::move(check)),
      connect_timeout_ms_(options.connect_timeout_ms),
      handshake_timeout_ms_(options.handshake_timeout_ms),
      loop_(loop),
      scratch_(scratch),
      stage_(role == Role::kClient ? Stage::kConnecting : Stage::kHandshaking) {
  for (const std::string_view protocol : options.protocols) {
    check_.protocols += static_cast<char>(protocol.size());
    check_.protocols += protocol;
  }
}

bool TlsStream::Prepare() {
  ssl_ = SSL_new(role_ == Role::kServer ? identity_->server.get() : identity_->client.get());
  BIO* bio = BIO_new(RecordMethod());
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    return false;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  if (role_ == Role::kServer) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
  return AttachPeerCheck(ssl_, &check_);
}

TlsStream::~TlsStream() {
  Close();
  SSL_free(ssl_);
}

Status TlsStream::Start(ByteStreamUser* user) {
  user_ = user;
  if (stage_ == Stage::kConnecting) {
    StartDeadline(connect_timeout_ms_, ErrorCode::kConnectTimeout, "no answer to the TCP connect");
  } else {
    StartDeadline(handshake_timeout_ms_, ErrorCode::kTlsTimeout, kLateHandshake);
  }
  return loop_->Watch(fd_.get(), this);
}

void TlsStream::StartDeadline(uint32_t timeout_ms, ErrorCode code, const char* detail) {
  loop_->Cancel(&deadline_);
  deadline_ = loop_->After(timeout_ms, [this, code, detail] {
    error_ = code;
    check_.detail = detail;
    user_->OnStreamReady(true, true);
  });
}

void TlsStream::OnEvents(uint32_t events) {
  if (stage_ == Stage::kClosed) return;
  const bool readable = (events & (EPOLLIN | kReadToTheEnd)) != 0;
  if (readable) {
    heard_ = true;
    read_blocked_ = false;
    to_the_end_ = to_the_end_ || (events & kReadToTheEnd) != 0;
  }
  if (stage_ == Stage::kConnecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    if (const int error = TakeSocketError(fd_.get()); error != 0) {
      error_ = CodeOfConnectError(error);
      check_.detail = std::strerror(error);
    }
    stage_ = Stage::kHandshaking;
    StartDeadline(handshake_timeout_ms_, ErrorCode::kTlsTimeout, kLateHandshake);
  }
  user_->OnStreamReady(readable, (events & EPOLLOUT) != 0);
}

StreamState TlsStream::Open() {
  if (error_ != ErrorCode::kNone) return StreamState::kError;
  if (stage_ == Stage::kConnecting) return StreamState::kBlocked;
  // A client that says nothing costs no TLS.
  if (role_ == Role::kServer && !heard_) return StreamState::kBlocked;
  if (ssl_ == nullptr && !Prepare()) {
    error_ = ErrorCode::kOutOfFiles;
    return StreamState::kError;
  }
  if (blocked()) (void)Flush();
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return FinishHandshake();
  const StreamState state = Fail(result);
  // An alert that says why must leave too.
  (void)Flush();
  return state == StreamState::kEnd ? StreamState::kError : state;
}

StreamState TlsStream::FinishHandshake() {
  if (const StreamState sent = Flush(); sent == StreamState::kError) return sent;
  const unsigned char* chosen = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_, &chosen, &length);
  protocol_.assign(reinterpret_cast<const char*>(chosen), length);
  if (protocol_.empty() && !check_.protocols.empty()) {
    check_.detail = "peer did not choose ALPN " +
                    check_.protocols.substr(1, static_cast<size_t>(check_.protocols.front()));
    error_ = ErrorCode::kTlsHandshakeFailed;
    return StreamState::kError;
  }
  loop_->Cancel(&deadline_);
  stage_ = Stage::kOpen;
  // From the next buffer on.
  SSL_set_default_read_buffer_len(ssl_, kReadBufferBytes);
  return StreamState::kOk;
}

void TlsStream::Close() {
  stage_ = Stage::kClosed;
  loop_->Cancel(&deadline_);
  fd_.Reset();
}

void TlsStream::CloseInOrder() {
  const bool peer_listens = stage_ == Stage::kOpen && !end_ && error_ == ErrorCode::kNone;
  if (lingering_ != nullptr && peer_listens) {
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(unsent_offset_));
    unsent_offset_ = 0;
    lingering_->Take(std::move(fd_), std::exchange(unsent_, {}), pod_);
  }
  Close();
}

StreamState TlsStream::Fail(int ssl_result) {
  const int reason = SSL_get_error(ssl_, ssl_result);
  if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return StreamState::kBlocked;
  if (reason == SSL_ERROR_ZERO_RETURN) {
    end_ = true;
    return StreamState::kEnd;
  }
  const int socket_error = errno;
  error_ = check_.refusal != ErrorCode::kNone ? check_.refusal : ErrorCode::kTlsHandshakeFailed;
  if (check_.detail.empty()) {
    const unsigned long error = ERR_peek_last_error();
    if (error != 0) {
      check_.detail = ReasonOf(error);
    } else {
      check_.detail =
          socket_error != 0 ? std::strerror(socket_error) : "peer closed the connection";
    }
  }
  ERR_clear_error();
  return StreamState::kError;
}

ReadResult TlsStream::Read(uint8_t* buffer, size_t size) {
  if (end_) return {StreamState::kEnd, 0};
  size_t total = 0;
  // One SSL_read gives one record; several make larger sends to the application.
  while (total < size) {
    size_t count = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_, buffer + total, size - total, &count);
    if (result != 1) {
      const StreamState state = Fail(result);
      if (total > 0 && state != StreamState::kBlocked) {
        // First hand over what came before the end; the next Read reports it.
        return {StreamState::kOk, total};
      }
      return {total > 0 ? StreamState::kOk : state, total};
    }
    total += count;
  }
  return {StreamState::kOk, total};
}

int TlsStream::ReadSocket(char* buffer, int size) {
  if (read_blocked_) {
    errno = EAGAIN;
    return -1;
  }
  // An end of stream sets no errno, and Fail must not report somebody else's.
  errno = 0;
  const ssize_t count = recv(fd_.get(), buffer, static_cast<size_t>(size), 0);
  // A short read has emptied the socket: the next bytes make a new edge, so the call that would say
  // EAGAIN is saved.
  read_blocked_ = count < 0 ? errno == EAGAIN : count < size && !to_the_end_;
  return static_cast<int>(count);
}

StreamState TlsStream::Write(const uint8_t* data, size_t size) {
  size_t written = 0;
  while (written < size) {
    size_t count = 0;
    ERR_clear_error();
    // The write right after it sends the KeyUpdate; partial writes are on, so each write is one
    // record.
    if (records_++ >= records_per_key_) {
      records_ = 1;
      (void)SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
    }
    const int result = SSL_write_ex(ssl_, data + written, size - written, &count);
    if (result != 1) {
      // The record layer takes everything (TakeRecords), so this is never merely "blocked".
      if (Fail(result) != StreamState::kError) error_ = ErrorCode::kHboneProtocol;
      return StreamState::kError;
    }
    written += count;
  }
  return error_ == ErrorCode::kNone ? StreamState::kOk : StreamState::kError;
}

int TlsStream::TakeRecords(const char* data, int size) {
  const auto length = static_cast<size_t>(size);
  if (error_ != ErrorCode::kNone) return size;  // The socket is gone; Write reports it.
  if (!unsent_.empty() || batched_ + length > ThreadScratch::kCipherBytes) {
    if (batched_ > 0) (void)Flush();
    if (!unsent_.empty() || length > ThreadScratch::kCipherBytes) {
      unsent_.insert(unsent_.end(), data, data + size);
      return size;
    }
  }
  std::memcpy(scratch_->records.get() + batched_, data, length);
  batched_ += length;
  return size;
}

StreamState TlsStream::FailSend() {
  if (check_.detail.empty()) check_.detail = std::strerror(errno);
  error_ = ErrorCode::kPeerReset;
  unsent_ = {};
  unsent_offset_ = 0;
  return StreamState::kError;
}

StreamState TlsStream::SendUnsent() {
  while (unsent_offset_ < unsent_.size()) {
    const ssize_t count = send(fd_.get(), unsent_.data() + unsent_offset_,
                               unsent_.size() - unsent_offset_, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return StreamState::kBlocked;
      return FailSend();
    }
    unsent_offset_ += static_cast<size_t>(count);
  }
  unsent_ = {};
  unsent_offset_ = 0;
  return StreamState::kOk;
}

StreamState TlsStream::Flush() {
  if (!unsent_.empty()) {
    const StreamState state = SendUnsent();
    if (state != StreamState::kOk) return state;
  }
  const uint8_t* next = scratch_->records.get();
  size_t left = batched_;
  batched_ = 0;
  while (left > 0) {
    const ssize_t count = send(fd_.get(), next, left, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return FailSend();
      unsent_.assign(next, next + left);
      return StreamState::kBlocked;
    }
    next += count;
    left -= static_cast<size_t>(count);
  }
  return StreamState::kOk;
}

void TlsStream::Shutdown() {
  if (ssl_ == nullptr || error_ != ErrorCode::kNone || SSL_in_init(ssl_) != 0) return;
  ERR_clear_error();
  (void)SSL_shutdown(ssl_);
  ERR_clear_error();
  (void)Flush();
}

std::unique_ptr<SecuredStream> DialSecuredStream(UniqueFd fd,
                                                 std::shared_ptr<const TlsIdentity> identity,
                                                 std::span<const std::string> expected,
                                                 const SecuredStreamOptions& options,
                                                 EventLoop* loop, ThreadScratch* scratch) {
  PeerCheck check;
  check.expected = expected;
  return std::make_unique<TlsStream>(std::move(fd), TlsStream::Role::kClient, std::move(identity),
                                     std::move(check), options, loop, scratch);
}

std::unique_ptr<SecuredStream> AcceptSecuredStream(UniqueFd fd,
                                                   std::shared_ptr<const TlsIdentity> identity,
                                                   std::string_view trust_domain,
                                                   const SecuredStreamOptions& options,
                                                   EventLoop* loop, ThreadScratch* scratch) {
  PeerCheck check;
  check.trust_domain = trust_domain;
  return std::make_unique<TlsStream>(std::move(fd), TlsStream::Role::kServer, std::move(identity),
                                     std::move(check), options, loop, scratch);
}

}  // namespace groundwire
