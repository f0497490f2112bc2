// SPDX-License-Identifier: Apache-2.0

/** Who calls a control plane: the holder of a join token for one node. */
export interface Caller {
  readonly node: string;
  readonly token: TokenLife;
}

/** From when to when a join token is valid, and of which line it is: the tokens that were given one in place of the other. */
export interface TokenLife {
  readonly fromMs: number;
  readonly untilMs: number;
  /** When the first one of its line was made. */
  readonly lineFromMs: number;
  /** When the last one will end; the first one does not know. */
  readonly lineUntilMs: number | undefined;
}
