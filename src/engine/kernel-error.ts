// SPDX-License-Identifier: Apache-2.0

/** Why a call into the engine did not do what was asked. */
export type KernelErrorCode =
  /** The call came after close. */
  | 'ERR_ENGINE_CLOSED'
  /** The engine could not be opened: a missing privilege, kernel feature or path; `op` and `errno` say which. */
  | 'ERR_ENGINE_OPEN'
  /** A command of a batch failed; `index` says which, the ones before it stay. */
  | 'ERR_ENGINE_COMMAND'
  /** Bytes of the boundary that are not what the schema says, or a value that does not fit its field. */
  | 'ERR_ENGINE_MESSAGE'
  /** A bound of the boundary was reached: too many batches wait. */
  | 'ERR_ENGINE_BUSY'
  /** The compiled addon is missing or was built from other sources. */
  | 'ERR_ENGINE_NOT_BUILT';

export interface KernelErrorFields {
  /** The call as an operator would name it: `setns`, `bpf_link_create sk_lookup`. */
  readonly op: string;
  /** The kernel's reason as a positive number, 0 where it had none. */
  readonly errno?: number;
  /** More text: a path, the verifier's log. */
  readonly detail?: string;
  /** Position of the failed command in its batch. */
  readonly index?: number;
  readonly cause?: unknown;
}

/** The one error class of the engine, made here and by the addon. */
export class KernelError extends Error {
  readonly code: KernelErrorCode;
  readonly op: string;
  readonly errno: number;
  readonly detail: string;
  /** -1 where no single command of a batch is meant. */
  readonly index: number;

  constructor(code: KernelErrorCode, message: string, fields: KernelErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'KernelError';
    this.code = code;
    this.op = fields.op;
    this.errno = fields.errno ?? 0;
    this.detail = fields.detail ?? '';
    this.index = fields.index ?? -1;
  }
}

/** What every call but `close` throws once the engine is closed. */
export function closedError(op: string): KernelError {
  return new KernelError('ERR_ENGINE_CLOSED', `${op}: the engine is closed`, { op });
}
