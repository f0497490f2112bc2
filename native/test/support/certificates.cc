// SPDX-License-Identifier: Apache-2.0
#include "support/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>

#include "base/clock.h"

namespace groundwire {
namespace {

template <typename Write>
std::vector<uint8_t> ToPem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  if (write(bio) != 1) std::abort();
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::vector<uint8_t> pem(data, data + size);
  BIO_free(bio);
  return pem;
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) std::abort();
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* NewCertificate(EVP_PKEY* key, const std::string& common_name, int64_t not_before_s,
                     int64_t not_after_s) {
  static long serial = 1;
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), not_before_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), not_after_s);
  X509_set_pubkey(certificate, key);
  if (!common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
  }
  return certificate;
}

}  // namespace

struct TestAuthority::Impl {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = nullptr;
};

TestAuthority::TestAuthority(const std::string& name) : impl_(std::make_unique<Impl>()) {
  impl_->certificate = NewCertificate(impl_->key, name, -3600, 36000);
  X509_set_issuer_name(impl_->certificate, X509_get_subject_name(impl_->certificate));
  AddExtension(impl_->certificate, impl_->certificate, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(impl_->certificate, impl_->certificate, NID_key_usage, "critical,keyCertSign");
  if (X509_sign(impl_->certificate, impl_->key, EVP_sha256()) == 0) std::abort();
}

TestAuthority::~TestAuthority() {
  X509_free(impl_->certificate);
  EVP_PKEY_free(impl_->key);
}

msg::SetIdentity TestAuthority::Sign(const std::string& identity, const Request& request) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = NewCertificate(key, "", request.not_before_s, request.not_after_s);
  X509_set_issuer_name(certificate, X509_get_subject_name(impl_->certificate));
  std::string names;
  for (const std::string& uri : request.uris) names += (names.empty() ? "" : ",") + ("URI:" + uri);
  for (const std::string& dns : request.dns_names)
    names += (names.empty() ? "" : ",") + ("DNS:" + dns);
  if (!names.empty())
    AddExtension(certificate, impl_->certificate, NID_subject_alt_name, "critical," + names);
  AddExtension(certificate, impl_->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
  if (!request.basic_constraints.empty())
    AddExtension(certificate, impl_->certificate, NID_basic_constraints, request.basic_constraints);
  if (!request.key_usage.empty())
    AddExtension(certificate, impl_->certificate, NID_key_usage, request.key_usage);
  if (X509_sign(certificate, impl_->key, EVP_sha256()) == 0) std::abort();

  msg::SetIdentity command;
  command.identity = identity;
  command.certificate_chain_pem =
      ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
  command.private_key_pem = ToPem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  command.trust_roots_pem = root_pem();
  command.not_after_ms =
      static_cast<uint64_t>(static_cast<int64_t>(WallMs()) + request.not_after_s * 1000);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return command;
}

std::vector<uint8_t> TestAuthority::root_pem() const {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, impl_->certificate); });
}

}  // namespace groundwire
