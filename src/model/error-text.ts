// SPDX-License-Identifier: Apache-2.0

/** What was thrown, in its own words. */
export function errorText(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
