// SPDX-License-Identifier: Apache-2.0
#include "tls/tls_identity.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tls/peer_check.h"

namespace groundwire {
namespace {

// AES-128 first: the cheaper of the two on every machine measured.
constexpr char kCipherSuites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
constexpr char kGroups[] = "X25519:P-256:P-384";
// Known to OpenSSL from 3.5 on, which Node 24 carries; a library without it refuses the list and
// gets the one above.
constexpr char kGroupsWithHybrid[] = "X25519MLKEM768:X25519:P-256:P-384";
struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct CertificateFree {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
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
  const Result<std::string> named = ReadIdentity(credentials->chain.front().get());
  if (!named.ok()) return named.status();
  if (named.value() != command.identity) {
    return Status::Error("check certificate", 0,
                         "certificate of " + named.value() + ", not of " + command.identity);
  }
  return credentials;
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
  SSL_CTX_set_alpn_select_cb(identity->server.get(), SelectProtocol, nullptr);
  return std::shared_ptr<const TlsIdentity>(std::move(identity));
}

}  // namespace groundwire
