// SPDX-License-Identifier: Apache-2.0

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** The most important first. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What a part needs to report: a constant lower-case phrase, and data in fields. Never keys, tokens or certificates. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
