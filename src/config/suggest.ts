// SPDX-License-Identifier: Apache-2.0

import { editDistance } from '../model/edit-distance.ts';

/** The known word that is nearest to what was written, or `undefined` when none is near enough to be meant. */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
