// SPDX-License-Identifier: Apache-2.0

/** The mesh cannot be restored from what is on disk, and starting without it would take pods from the agents. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}
