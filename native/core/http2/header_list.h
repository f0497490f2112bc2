// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace groundwire {

/// One field of a header block, pseudo-headers included; names are lower case. Whoever hands it out
/// says how long its text stays.
struct HeaderView {
  std::string_view name;
  std::string_view value;
};

/// The header block that arrives, in order. Its text is nghttp2's own, counted, not copied; it stays
/// for as long as the list, which may be moved out of the call that shows it.
class HeaderList {
 public:
  HeaderList() = default;
  HeaderList(HeaderList&& other) noexcept { *this = std::move(other); }
  HeaderList& operator=(HeaderList&& other) noexcept;
  ~HeaderList() { Clear(); }

  void Append(nghttp2_rcbuf* name, nghttp2_rcbuf* value);
  /// Gives the memory back too: a session that is idle keeps none.
  void Clear();

  size_t size() const { return fields_.size(); }
  /// As RFC 9113 6.5.2 counts: 32 bytes for each field beside its text.
  size_t bytes() const { return bytes_; }
  HeaderView operator[](size_t index) const;
  /// The first field of that name.
  std::optional<std::string_view> Find(std::string_view name) const;

 private:
  struct Field {
    nghttp2_rcbuf* name;
    nghttp2_rcbuf* value;
  };

  std::vector<Field> fields_;
  size_t bytes_ = 0;
};

}  // namespace groundwire
