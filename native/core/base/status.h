// SPDX-License-Identifier: Apache-2.0
// How core reports failure: a Status or a Result<T>, never an exception.
#pragma once
#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace groundwire {

/// What failed: `op` is the call as an operator would name it ("setns", "bpf_link_create
/// sk_lookup"), `errno_value` the kernel's reason or 0, `detail` more text (a verifier log, a
/// path). An empty op means success.
struct [[nodiscard]] Status {
  std::string op;
  int errno_value = 0;
  std::string detail;

  bool ok() const { return op.empty(); }
  static Status Ok() { return {}; }
  static Status Error(std::string op, int errno_value, std::string detail = {}) {
    return {std::move(op), errno_value, std::move(detail)};
  }
  std::string ToString() const {
    if (ok()) return "ok";
    std::string text = op;
    if (errno_value != 0) text += std::string(": ") + std::strerror(errno_value);
    if (!detail.empty()) text += " (" + detail + ")";
    return text;
  }
};

/// A value or the Status that explains its absence. std::expected is empty under clang 14 with
/// libstdc++ 12.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Status status) : state_(std::move(status)) {}
  bool ok() const { return std::holds_alternative<T>(state_); }
  T& value() { return std::get<T>(state_); }
  const T& value() const { return std::get<T>(state_); }
  Status status() const { return ok() ? Status::Ok() : std::get<Status>(state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace groundwire
