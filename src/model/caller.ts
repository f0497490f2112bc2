// SPDX-License-Identifier: Apache-2.0

/** Who calls a control plane: the holder of a join token for one node. */
export interface Caller {
  readonly node: string;
  /** How long the token is valid in all; the next one is for as long. */
  readonly tokenLifetimeMs: number;
}
