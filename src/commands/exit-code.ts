// SPDX-License-Identifier: Apache-2.0

/** Exit statuses, after sysexits(3). `run` ends with the status of its command, or 128 and the number of its signal. */
export const EXIT = {
  ok: 0,
  /** A check held by the command did not hold: `doctor` found something missing. */
  failed: 1,
  /** The command line or a variable is wrong. */
  usage: 64,
  /** What was asked about does not exist. */
  notFound: 66,
  /** The agent or the control plane is not there, or refused. */
  unavailable: 69,
  /** A bug; the stack is on standard error. */
  internal: 70,
  /** A part of the operating system is missing. */
  system: 71,
  /** A file could not be read or written. */
  file: 74,
  /** Somebody else has it: the node, a port, the name of a pod. */
  busy: 75,
  /** Not root, or a secret that others can read. */
  permission: 77,
  /** A file of ours is damaged, or does not fit the settings. */
  config: 78,
} as const;

export type ExitCode = number;

/** An end with a message for people: what, where, and what to do. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
