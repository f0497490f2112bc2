// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "port/messages.gen.h"

namespace groundwire {

/// A certificate authority made at run time; signs what a test asks for, right or wrong.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name);
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  struct Request {
    std::vector<std::string> uris;
    std::vector<std::string> dns_names = {};
    int64_t not_before_s = -60;  // from now
    int64_t not_after_s = 3600;
    /// As OpenSSL writes extensions; "" leaves them out.
    std::string basic_constraints = {};
    std::string key_usage = {};
  };
  /// As the engine gets it. `identity` is the command's name; the certificate says what `request`
  /// says.
  msg::SetIdentity Sign(const std::string& identity, const Request& request) const;
  msg::SetIdentity Sign(const std::string& identity) const { return Sign(identity, {{identity}}); }
  std::vector<uint8_t> root_pem() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace groundwire
