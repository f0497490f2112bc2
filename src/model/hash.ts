// SPDX-License-Identifier: Apache-2.0

/**
 * FNV-1a, 32 bits, of a name: spreads short texts well and is the same on every machine.
 *
 * Taken over UTF-16 units, which for the ASCII of names are their bytes.
 */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}
