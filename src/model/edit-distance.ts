// SPDX-License-Identifier: Apache-2.0

/** Levenshtein distance, one row at a time; O(a × b), so callers bound what they compare. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** Whether a text is another one but for a few slips of the hand, upper and lower case alike. */
export function isNear(text: string, known: string, distanceMax: number): boolean {
  if (Math.abs(text.length - known.length) > distanceMax) return false;
  return editDistance(text.toLowerCase(), known.toLowerCase()) <= distanceMax;
}
