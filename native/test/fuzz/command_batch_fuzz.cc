// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include "port/messages.gen.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<groundwire::msg::Command> commands;
  std::vector<groundwire::msg::Answer> answers;
  (void)groundwire::msg::DecodeBatch({data, size}, &commands);
  (void)groundwire::msg::DecodeBatch({data, size}, &answers);
  return 0;
}
