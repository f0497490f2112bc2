// SPDX-License-Identifier: Apache-2.0

/** How tests came out. `failures` names each, with enough to find it. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly string[];
}

export const EMPTY_TALLY: Tally = { passed: 0, failed: 0, skipped: 0, failures: [] };

export function addTallies(tallies: readonly Tally[]): Tally {
  return tallies.reduce(
    (sum, tally) => ({
      passed: sum.passed + tally.passed,
      failed: sum.failed + tally.failed,
      skipped: sum.skipped + tally.skipped,
      failures: [...sum.failures, ...tally.failures],
    }),
    EMPTY_TALLY,
  );
}

/** The tally of one thing that holds or does not. */
export function single(name: string, problem?: string): Tally {
  return problem === undefined
    ? { ...EMPTY_TALLY, passed: 1 }
    : { ...EMPTY_TALLY, failed: 1, failures: [`${name}: ${problem}`] };
}
