// SPDX-License-Identifier: Apache-2.0

/** The API server refused, or could not be asked (`status` 0). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** Kubernetes' word for it: `Expired`, `NotFound`, `Forbidden`; "" where there is none. */
  readonly reason: string;
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, status: number, reason = '', retryAfterMs?: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }

  /** What was asked from is no longer known: list again. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }
}
