// SPDX-License-Identifier: Apache-2.0

import {
  ConsultedFieldBit,
  type InboundAnswer,
  type InboundQuestion,
  type OutboundAnswer,
  type OutboundQuestion,
} from '../model/messages.gen.ts';

/** What the engine asks of a decision, and what it is answered. */
export type Question = OutboundQuestion | InboundQuestion;
export type Verdict = OutboundAnswer | InboundAnswer;

/** Every field of a question: the answer holds for exactly what was asked. */
export const CONSULTED_ALL = Object.values(ConsultedFieldBit).reduce((sum, bit) => sum | bit, 0);
