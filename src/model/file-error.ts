// SPDX-License-Identifier: Apache-2.0

/** Whether a call on a file failed because there is none of that name. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
