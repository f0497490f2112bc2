// SPDX-License-Identifier: Apache-2.0
#include "kernel/bpf_object.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace groundwire {
namespace {

constexpr size_t kVerifierLogBytes = size_t{256} * 1024;
constexpr size_t kNoticeBytesMax = 4096;

/// What libbpf has to say on this thread since the last call. It would go to stderr, which belongs
/// to nobody here.
thread_local std::string notices;

__attribute__((format(printf, 2, 0)))  //
int CollectNotice(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN || notices.size() >= kNoticeBytesMax) return 0;
  char line[512];
  const int written = std::vsnprintf(line, sizeof line, format, arguments);
  if (written > 0) notices += line;
  return written;
}

}  // namespace

void BpfObject::Close::operator()(bpf_object* object) const { bpf_object__close(object); }

Result<BpfObject> BpfObject::Open(const std::string& directory, const std::string& name) {
  libbpf_set_print(CollectNotice);
  notices.clear();
  BpfObject object;
  object.path_ = directory + "/" + name + ".bpf.o";
  object.log_ = std::make_unique<std::vector<char>>(kVerifierLogBytes);
  bpf_object_open_opts options = {};
  options.sz = sizeof options;
  options.kernel_log_buf = object.log_->data();
  options.kernel_log_size = object.log_->size();
  object.object_.reset(bpf_object__open_file(object.path_.c_str(), &options));
  if (!object.object_) return Status::Error("open eBPF object", errno, object.path_);
  return object;
}

Status BpfObject::SetConstants(const void* bytes, size_t size) {
  bpf_map* constants = bpf_object__find_map_by_name(object_.get(), ".rodata");
  if (constants == nullptr) return Status::Error("find eBPF constants", ENOENT, path_);
  if (bpf_map__set_initial_value(constants, bytes, size) != 0) {
    return Status::Error("set eBPF constants", errno, path_ + " was built from another header");
  }
  return Status::Ok();
}

Status BpfObject::PinMap(const char* map, const std::string& path) {
  bpf_map* found = bpf_object__find_map_by_name(object_.get(), map);
  if (found == nullptr) return Status::Error("find eBPF map", ENOENT, path_ + ": " + map);
  if (bpf_map__set_pin_path(found, path.c_str()) != 0) {
    return Status::Error("set eBPF map pin", errno, path);
  }
  return Status::Ok();
}

Status BpfObject::Load() {
  notices.clear();
  if (bpf_object__load(object_.get()) == 0) return Status::Ok();
  const int error = errno;
  const std::string verifier(log_->data());
  return Status::Error("load eBPF object", error,
                       path_ + ": " + (verifier.empty() ? notices : verifier));
}

int BpfObject::program(const char* name) const {
  const bpf_program* found = bpf_object__find_program_by_name(object_.get(), name);
  return found == nullptr ? -1 : bpf_program__fd(found);
}

int BpfObject::map(const char* name) const {
  const bpf_map* found = bpf_object__find_map_by_name(object_.get(), name);
  return found == nullptr ? -1 : bpf_map__fd(found);
}

}  // namespace groundwire
