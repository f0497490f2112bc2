// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "dns/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  groundwire::DnsFrames frames;
  frames.Append({data, size});
  while (const auto message = frames.Next()) {
    if (groundwire::UdpLimitOf(*message) < 512) std::abort();
    if (groundwire::Truncate(*message).size() > message->size()) std::abort();
    const auto servfail = groundwire::MakeRefusal(*message, groundwire::DnsRefusal::kServfail);
    if (servfail.empty() == groundwire::IsQuery(*message)) std::abort();
    if (!servfail.empty() && !groundwire::IsAnswerTo(*message, servfail)) std::abort();
  }
  return 0;
}
