// SPDX-License-Identifier: Apache-2.0
// The kinds of questions that TypeScript answers. A kind is one type: what is asked and answered, and
// for which other questions an answer holds.
//
//   Question, Answer    messages of the port: `question` is the id; an answer has `verdict`, `code` and
//                       `kept_ms` too
//   Key                 all that an answer may depend on, `pod` among it; with ==
//   KeyOf(question)
//   kMasks, MaskOf(answer), Masked(key, mask)
//                       which parts of the key this answer depends on, and the key without the others
//   Hash(key)
//
// Everything else, the desk, the cache, the way of an answer to the workers, is written once for all.
#pragma once
#include "verdicts/inbound_kind.h"
#include "verdicts/outbound_kind.h"

namespace groundwire {

template <typename... Kinds>
struct KindList {};

/// One more kind is one more type here.
using QuestionKinds = KindList<OutboundKind, InboundKind>;

}  // namespace groundwire
