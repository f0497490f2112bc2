// SPDX-License-Identifier: Apache-2.0

import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';

/** Keeps grpc-js from writing to standard error: what it has to say reaches us as an error, and is told in our words. */
export function quietGrpc(): void {
  setLogVerbosity(logVerbosity.NONE);
}
