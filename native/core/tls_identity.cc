// SPDX-License-Identifier: Apache-2.0
#include "tls_identity.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>

#include "clock.h"

namespace groundwire {
namespace {

// AES-128 first: the cheaper of the two on every machine measured.
constexpr char kCipherSuites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
constexpr char kGroups[] = "X25519:P-256:P-384";
// Known to OpenSSL from 3.5 on, which Node 24 carries; a library without it refuses the list and
// gets the one above.
constexpr char kGroupsWithHybrid[] = "X25519MLKEM768:X25519:P-256:P-384";
constexpr unsigned char kAlpnH2[] = {2, 'h', '2'};
// One read call for several 16 KiB records.
constexpr size_t kReadBufferBytes = size_t{128} * 1024;

struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct CertificateFree {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct NamesFree {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using Bio = std::unique_ptr<BIO, BioFree>;
using Certificate = std::unique_ptr<X509, CertificateFree>;
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;

struct Credentials {
  std::vector<Certificate> chain;  // leaf first
  std::vector<Certificate> roots;
  Key key;
};

Status TlsError(std::string op, std::string detail = {}) {
  char text[256] = {};
  const unsigned long error = ERR_get_error();
  if (error != 0) ERR_error_string_n(error, text, sizeof text);
  ERR_clear_error();
  if (!detail.empty() && error != 0) detail += ": ";
  return Status::Error(std::move(op), 0, detail + text);
}

Bio ReadOnlyBio(const std::vector<uint8_t>& bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

/// Empty when any block is damaged: half of a chain or of the roots must not pass for the whole.
std::vector<Certificate> ParseCertificates(const std::vector<uint8_t>& pem) {
  std::vector<Certificate> certificates;
  const Bio bio = ReadOnlyBio(pem);
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  // The end of the input is reported as an error too; any other stays for the caller to tell.
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) return {};
  if (!certificates.empty()) ERR_clear_error();
  return certificates;
}

/// `userdata` unused: an encrypted key is refused instead of asking a terminal for its passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

Result<std::shared_ptr<Credentials>> ParseCredentials(const msg::SetIdentity& command) {
  auto credentials = std::make_shared<Credentials>();
  credentials->chain = ParseCertificates(command.certificate_chain_pem);
  if (credentials->chain.empty()) return TlsError("parse certificate chain", command.identity);
  credentials->roots = ParseCertificates(command.trust_roots_pem);
  if (credentials->roots.empty()) return TlsError("parse trust roots", command.identity);
  const Bio bio = ReadOnlyBio(command.private_key_pem);
  credentials->key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (!credentials->key) return TlsError("parse private key", command.identity);
  const std::string own[] = {command.identity};
  if (!FindPeerIdentity(credentials->chain.front().get(), own)) {
    return Status::Error("check certificate", 0, "no URI SAN " + command.identity);
  }
  return credentials;
}

uint64_t TimeMs(const ASN1_TIME* text) {
  std::tm time{};
  if (ASN1_TIME_to_tm(text, &time) != 1) return 0;
  return static_cast<uint64_t>(std::max<time_t>(timegm(&time), 0)) * 1000;
}

uint64_t NotAfterMs(const X509* certificate) { return TimeMs(X509_get0_notAfter(certificate)); }

int PeerCheckIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string FormatTime(uint64_t wall_ms) {
  const auto seconds = static_cast<time_t>(wall_ms / 1000);
  std::tm time{};
  char text[32] = {};
  if (gmtime_r(&seconds, &time) != nullptr)
    (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &time);
  return text;
}

/// Whose certificate it says it is; what a chain that does not hold says is only a claim.
std::string NameOfCertificate(X509* certificate) {
  const auto identity = FindPeerIdentity(certificate, {});
  return identity ? "certificate of " + *identity : "certificate without a SPIFFE id";
}

/// Why the chain does not hold, with what a person needs to find the certificate.
std::string ChainProblem(X509_STORE_CTX* context) {
  X509* certificate = X509_STORE_CTX_get_current_cert(context);
  const int error = X509_STORE_CTX_get_error(context);
  const bool own = X509_STORE_CTX_get_error_depth(context) == 0;
  const std::string name =
      (own ? "" : "issuer of the ") + NameOfCertificate(X509_STORE_CTX_get0_cert(context));
  if (certificate != nullptr && error == X509_V_ERR_CERT_HAS_EXPIRED)
    return name + " expired at " + FormatTime(NotAfterMs(certificate));
  if (certificate != nullptr && error == X509_V_ERR_CERT_NOT_YET_VALID)
    return name + " is valid from " + FormatTime(TimeMs(X509_get0_notBefore(certificate)));
  return name + ": " + X509_verify_cert_error_string(error);
}

/// Why a certificate that holds is not the one that is wanted.
std::string IdentityProblem(X509* certificate, const PeerCheck& check) {
  if (check.refusal == ErrorCode::kTlsTrustDomain) {
    const auto identity = FindPeerIdentity(certificate, {});
    return "certificate of trust domain " + SpiffeId::Parse(*identity)->trust_domain +
           ", ours is " + std::string(check.trust_domain);
  }
  std::string problem = NameOfCertificate(certificate);
  if (check.expected.empty()) return problem;
  problem += ", expected " + check.expected.front();
  if (check.expected.size() > 1)
    problem += " or one of " + std::to_string(check.expected.size() - 1) + " more";
  return problem;
}

/// Runs for each certificate of the peer's chain. Refusing here, not after the handshake, sends the
/// peer an alert.
int VerifyPeer(int chain_ok, X509_STORE_CTX* context) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* check = static_cast<PeerCheck*>(SSL_get_ex_data(ssl, PeerCheckIndex()));
  // Without a check nobody is acceptable: a handshake that forgot to say whom it wants must fail.
  if (check == nullptr) return 0;
  if (chain_ok != 1) {
    check->detail = ChainProblem(context);
    return 0;
  }
  X509* certificate = X509_STORE_CTX_get_current_cert(context);
  // A tunnel lives no longer than the shortest-lived certificate of its peer's chain.
  const uint64_t not_after = NotAfterMs(certificate);
  check->peer_not_after_ms =
      check->peer_not_after_ms == 0 ? not_after : std::min(check->peer_not_after_ms, not_after);
  if (X509_STORE_CTX_get_error_depth(context) != 0) return 1;

  const auto identity = FindPeerIdentity(certificate, check->expected);
  if (!identity) {
    check->refusal = ErrorCode::kTlsUnexpectedIdentity;
  } else if (check->expected.empty() &&
             SpiffeId::Parse(*identity)->trust_domain != check->trust_domain) {
    check->refusal = ErrorCode::kTlsTrustDomain;
  } else {
    check->peer = *identity;
    return 1;
  }
  check->detail = IdentityProblem(certificate, *check);
  X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_length,
               const unsigned char* offered, unsigned int offered_length, void*) {
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_length, kAlpnH2, sizeof kAlpnH2, offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

Result<SslContext*> Fill(SslContext* context, const Credentials& credentials) {
  SSL_CTX* ctx = context->get();
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
  // No resumption: a tunnel is kept and shared, so handshakes are rare, and each one proves the
  // peer's identity anew, which is what the lease of a live tunnel is built on (docs/adr).
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_options(ctx,
                      SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_default_read_buffer_len(ctx, kReadBufferBytes);
  if (SSL_CTX_set_ciphersuites(ctx, kCipherSuites) != 1) return TlsError("set cipher suites");
  if (SSL_CTX_set1_groups_list(ctx, kGroupsWithHybrid) != 1) {
    ERR_clear_error();
    if (SSL_CTX_set1_groups_list(ctx, kGroups) != 1) return TlsError("set groups");
  }
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  for (const Certificate& root : credentials.roots) {
    if (X509_STORE_add_cert(store, root.get()) != 1) return TlsError("add trust root");
  }
  // A root of the bundle may itself be an intermediate of somebody else's hierarchy.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  if (SSL_CTX_use_certificate(ctx, credentials.chain.front().get()) != 1)
    return TlsError("use certificate");
  for (size_t i = 1; i < credentials.chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, credentials.chain[i].get()) != 1)
      return TlsError("add chain certificate");
  }
  if (SSL_CTX_use_PrivateKey(ctx, credentials.key.get()) != 1) return TlsError("use private key");
  if (SSL_CTX_check_private_key(ctx) != 1) return TlsError("check private key");
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, VerifyPeer);
  return context;
}

}  // namespace

std::optional<std::string> FindPeerIdentity(X509* certificate,
                                            std::span<const std::string> expected) {
  const std::unique_ptr<GENERAL_NAMES, NamesFree> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return std::nullopt;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<size_t>(ASN1_STRING_length(uri)));
    if (!SpiffeId::Parse(text)) continue;
    if (expected.empty() || std::find(expected.begin(), expected.end(), text) != expected.end())
      return text;
  }
  return std::nullopt;
}

void AttachPeerCheck(SSL* ssl, PeerCheck* check) { SSL_set_ex_data(ssl, PeerCheckIndex(), check); }

Result<std::shared_ptr<const TlsIdentity>> MakeTlsIdentity(const msg::SetIdentity& command,
                                                           uint64_t generation) {
  auto credentials = ParseCredentials(command);
  if (!credentials.ok()) return credentials.status();
  auto identity = std::make_shared<TlsIdentity>();
  identity->name = command.identity;
  identity->generation = generation;
  identity->not_after_ms = NotAfterMs(credentials.value()->chain.front().get());
  if (command.not_after_ms != 0)
    identity->not_after_ms = std::min(identity->not_after_ms, command.not_after_ms);
  identity->server.reset(SSL_CTX_new(TLS_server_method()));
  identity->client.reset(SSL_CTX_new(TLS_client_method()));
  if (!identity->server || !identity->client) return TlsError("SSL_CTX_new");
  for (SslContext* context : {&identity->server, &identity->client}) {
    const auto filled = Fill(context, *credentials.value());
    if (!filled.ok()) return filled.status();
  }
  SSL_CTX_set_alpn_select_cb(identity->server.get(), SelectAlpn, nullptr);
  if (SSL_CTX_set_alpn_protos(identity->client.get(), kAlpnH2, sizeof kAlpnH2) != 0)
    return TlsError("set ALPN");
  return std::shared_ptr<const TlsIdentity>(std::move(identity));
}

Status IdentityStore::Set(const msg::SetIdentity& command) {
  uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    generation = ++generation_;
  }
  // Outside of the lock: parsing keys and building contexts takes a millisecond that no handshake
  // should wait for.
  auto identity = MakeTlsIdentity(command, generation);
  if (!identity.ok()) return identity.status();
  const std::lock_guard lock(mutex_);
  identities_[command.identity] = std::move(identity.value());
  return Status::Ok();
}

void IdentityStore::Remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  identities_.erase(name);
}

std::shared_ptr<const TlsIdentity> IdentityStore::Find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = identities_.find(name);
  if (found == identities_.end() || found->second->not_after_ms <= WallMs()) return nullptr;
  return found->second;
}

}  // namespace groundwire
