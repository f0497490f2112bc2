// SPDX-License-Identifier: Apache-2.0

import type { ErrorCode, ErrorEntry } from '../model/errors.ts';
import { ERROR_TABLE } from '../model/errors.ts';

export interface NamedError extends ErrorEntry {
  readonly code: ErrorCode;
}

const BY_NUMBER: ReadonlyMap<number, NamedError> = new Map(
  Object.entries(ERROR_TABLE).map(([code, entry]) => [entry.number, { ...entry, code: code as ErrorCode }]),
);

/** The entry of ERROR_TABLE with this number; `undefined` for 0, a connection that ended in the ordinary way. */
export function findError(number: number): NamedError | undefined {
  return BY_NUMBER.get(number);
}
