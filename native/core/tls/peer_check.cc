// SPDX-License-Identifier: Apache-2.0
#include "tls/peer_check.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <vector>

#include "base/spiffe_id.h"

namespace groundwire {
namespace {

struct NamesFree {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

uint64_t TimeMs(const ASN1_TIME* text) {
  std::tm time{};
  if (ASN1_TIME_to_tm(text, &time) != 1) return 0;
  return static_cast<uint64_t>(std::max<time_t>(timegm(&time), 0)) * 1000;
}

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

std::vector<std::string> UriNames(X509* certificate) {
  std::vector<std::string> uris;
  const std::unique_ptr<GENERAL_NAMES, NamesFree> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return uris;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                      static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  return uris;
}

/// Whether it may sign others. A subordinate authority that some authority of the mesh has signed
/// must not pass for a workload, least of all with a certificate of its own making.
bool MaySign(X509* certificate) {
  const uint32_t flags = X509_get_extension_flags(certificate);
  if ((flags & EXFLAG_CA) != 0) return true;
  return (flags & EXFLAG_KUSAGE) != 0 &&
         (X509_get_key_usage(certificate) & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0;
}

/// Whose certificate it says it is; what a chain that does not hold says is only a claim.
std::string NameOfCertificate(const std::vector<std::string>& uris) {
  const auto id = std::find_if(uris.begin(), uris.end(),
                               [](const std::string& uri) { return SpiffeId::Parse(uri); });
  return id == uris.end() ? "certificate without a SPIFFE id" : "certificate of " + *id;
}

/// Why the chain does not hold, with what a person needs to find the certificate.
std::string ChainProblem(X509_STORE_CTX* context) {
  X509* certificate = X509_STORE_CTX_get_current_cert(context);
  const int error = X509_STORE_CTX_get_error(context);
  const bool own = X509_STORE_CTX_get_error_depth(context) == 0;
  const std::string name = (own ? "" : "issuer of the ") +
                           NameOfCertificate(UriNames(X509_STORE_CTX_get0_cert(context)));
  if (certificate != nullptr && error == X509_V_ERR_CERT_HAS_EXPIRED)
    return name + " expired at " + FormatTime(NotAfterMs(certificate));
  if (certificate != nullptr && error == X509_V_ERR_CERT_NOT_YET_VALID)
    return name + " is valid from " + FormatTime(TimeMs(X509_get0_notBefore(certificate)));
  return name + ": " + X509_verify_cert_error_string(error);
}

/// Whether the one whose certificate holds is the one that is wanted; the detail says why not.
bool IsWanted(const std::string& identity, PeerCheck* check) {
  const auto& expected = check->expected;
  if (!expected.empty()) {
    if (std::find(expected.begin(), expected.end(), identity) != expected.end()) return true;
    check->refusal = ErrorCode::kTlsUnexpectedIdentity;
    check->detail = "certificate of " + identity;
    return false;
  }
  const std::string trust_domain = SpiffeId::Parse(identity)->trust_domain;
  if (trust_domain == check->trust_domain) return true;
  check->refusal = ErrorCode::kTlsTrustDomain;
  check->detail = "certificate of trust domain " + trust_domain + ", ours is " +
                  std::string(check->trust_domain);
  return false;
}

std::string ExpectedText(std::span<const std::string> expected) {
  if (expected.empty()) return "";
  std::string text = ", expected " + expected.front();
  if (expected.size() > 1) text += " or one of " + std::to_string(expected.size() - 1) + " more";
  return text;
}

}  // namespace

uint64_t NotAfterMs(const X509* certificate) { return TimeMs(X509_get0_notAfter(certificate)); }

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

  const Result<std::string> identity = ReadIdentity(certificate);
  if (identity.ok() && IsWanted(identity.value(), check)) {
    check->peer = identity.value();
    return 1;
  }
  if (!identity.ok()) {
    check->refusal = ErrorCode::kTlsUnexpectedIdentity;
    check->detail = identity.status().detail;
  }
  check->detail += ExpectedText(check->expected);
  X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

Result<std::string> ReadIdentity(X509* certificate) {
  const std::vector<std::string> uris = UriNames(certificate);
  std::string problem;
  if (uris.size() > 1)
    problem = " has " + std::to_string(uris.size()) + " URI names, where SPIFFE has one";
  else if (MaySign(certificate))
    problem = " is one that signs others, and proves no workload";
  else if (uris.size() == 1 && SpiffeId::Parse(uris.front()))
    return uris.front();
  return Status::Error("check certificate", 0, NameOfCertificate(uris) + problem);
}

int SelectProtocol(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* offered, unsigned int offered_length, void*) {
  const auto* check = static_cast<const PeerCheck*>(SSL_get_ex_data(ssl, PeerCheckIndex()));
  if (check == nullptr || check->protocols.empty()) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_length,
                            reinterpret_cast<const unsigned char*>(check->protocols.data()),
                            static_cast<unsigned>(check->protocols.size()), offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

bool AttachPeerCheck(SSL* ssl, PeerCheck* check) {
  // What a client offers; a server is asked in SelectProtocol.
  return SSL_set_ex_data(ssl, PeerCheckIndex(), check) == 1 &&
         SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(check->protocols.data()),
                             static_cast<unsigned>(check->protocols.size())) == 0;
}

}  // namespace groundwire
