// SPDX-License-Identifier: Apache-2.0

/** The API server cannot be reached with what there is; the message says what is missing and what to do. */
export class AccessError extends Error {
  override readonly name = 'AccessError';
}
