// SPDX-License-Identifier: Apache-2.0
#include "http2/header_list.h"

#include <utility>

namespace groundwire {
namespace {

// Of most requests, so that their list is allocated once.
constexpr size_t kUsualFields = 16;
constexpr size_t kFieldOverhead = 32;

std::string_view TextOf(nghttp2_rcbuf* buffer) {
  const nghttp2_vec text = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(text.base), text.len};
}

}  // namespace

HeaderList& HeaderList::operator=(HeaderList&& other) noexcept {
  std::swap(fields_, other.fields_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void HeaderList::Append(nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
  if (fields_.empty()) fields_.reserve(kUsualFields);
  nghttp2_rcbuf_incref(name);
  nghttp2_rcbuf_incref(value);
  fields_.push_back({name, value});
  bytes_ += TextOf(name).size() + TextOf(value).size() + kFieldOverhead;
}

void HeaderList::Clear() {
  for (const Field& field : fields_) {
    nghttp2_rcbuf_decref(field.name);
    nghttp2_rcbuf_decref(field.value);
  }
  fields_ = {};
  bytes_ = 0;
}

HeaderView HeaderList::operator[](size_t index) const {
  return {TextOf(fields_[index].name), TextOf(fields_[index].value)};
}

std::optional<std::string_view> HeaderList::Find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (TextOf(field.name) == name) return TextOf(field.value);
  }
  return std::nullopt;
}

}  // namespace groundwire
