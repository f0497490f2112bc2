// SPDX-License-Identifier: Apache-2.0
// One compiled eBPF object: open, configure, load. What the verifier says is in the error's detail.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

struct bpf_object;

namespace groundwire {

class BpfObject {
 public:
  /// Reads `<directory>/<name>.bpf.o`.
  static Result<BpfObject> Open(const std::string& directory, const std::string& name);

  /// Between Open and Load: the object's `const volatile` settings, all of them at once.
  Status SetConstants(const void* bytes, size_t size);
  /// Between Open and Load: the map's pin. Load uses what is pinned there if it has the same shape,
  /// or makes and pins it.
  Status PinMap(const char* map, const std::string& path);
  Status Load();

  /// After Load, valid while this lives; -1 when there is none of that name.
  int program(const char* name) const;
  int map(const char* name) const;

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };
  BpfObject() = default;
  std::string path_;
  std::unique_ptr<std::vector<char>> log_;  // the kernel writes into it, so it must not move
  std::unique_ptr<bpf_object, Close> object_;
};

}  // namespace groundwire
