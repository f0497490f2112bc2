// SPDX-License-Identifier: Apache-2.0

import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from '../model/log.ts';
import { FIELDS } from './fields.ts';

export type LogFormat = 'text' | 'json';

/** What of a stream the logger uses; `process.stdout` and file streams are ones. */
export interface LogStream {
  /** Returns false when the stream wants no more for now; calls back once the line is out, or failed. */
  write(line: string, callback: (error?: Error | null) => void): boolean;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly nowMs: () => number;
  /** Lines handed to the stream and not yet out; further ones are dropped and counted. */
  readonly linesMax: number;
}

export interface LogCounters {
  readonly written: number;
  /** Not written because too many lines were on their way already. */
  readonly dropped: number;
  /** The stream refused them: a full disk, a closed pipe. */
  readonly failed: number;
}

// A field whose last word is one of these is never written out.
const SECRET_WORDS: ReadonlySet<string> = new Set([
  'key',
  'keys',
  'token',
  'tokens',
  'secret',
  'password',
  'pem',
  'jwt',
  'authorization',
]);
// A field may carry what a peer sent; the fields of a line are few, so this bounds the line.
const VALUE_LENGTH_MAX = 1024;

interface Sink {
  readonly stream: LogStream;
  readonly options: LoggerOptions;
  level: LogLevel;
  waiting: number;
  written: number;
  dropped: number;
  failed: number;
}

/**
 * Writes one line an event: a constant lower-case phrase, and data in fields.
 *
 * Never blocks and never throws: a slow stream costs lines (counted as dropped), a broken one too (counted as failed),
 * and neither costs a connection. Children share the stream, its bound and its counters.
 */
export class Logger implements Log {
  readonly #sink: Sink;
  readonly #bound: LogFields;

  private constructor(sink: Sink, bound: LogFields) {
    this.#sink = sink;
    this.#bound = bound;
  }

  static open(stream: LogStream, options: LoggerOptions): Logger {
    const { level } = options;
    return new Logger({ stream, options, level, waiting: 0, written: 0, dropped: 0, failed: 0 }, {});
  }

  /** A logger that adds these fields to each line; `scope` names the part of the agent. */
  child(scope: string, fields: LogFields = {}): Logger {
    return new Logger(this.#sink, { ...this.#bound, [FIELDS.scope]: scope, ...fields });
  }

  /** Holds for all children too. */
  setLevel(level: LogLevel): void {
    this.#sink.level = level;
  }

  get level(): LogLevel {
    return this.#sink.level;
  }

  get counters(): LogCounters {
    const { written, dropped, failed } = this.#sink;
    return { written, dropped, failed };
  }

  debug(message: string, fields?: LogFields): void {
    this.log('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.log('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.log('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.log('error', message, fields);
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    const sink = this.#sink;
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(sink.level)) return;
    if (sink.waiting >= sink.options.linesMax) {
      sink.dropped++;
      return;
    }
    sink.waiting++;
    try {
      sink.stream.write(this.#format(level, message, fields), (error) => {
        sink.waiting--;
        if (error) sink.failed++;
        else sink.written++;
      });
    } catch {
      // A stream that throws at once, as a destroyed one may: the line is lost, the agent is not.
      sink.waiting--;
      sink.failed++;
    }
  }

  #format(level: LogLevel, message: string, fields: LogFields): string {
    const { format, nowMs } = this.#sink.options;
    const time = new Date(nowMs()).toISOString();
    const data = Object.entries({ ...this.#bound, ...fields })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, isSecret(name) ? '[redacted]' : clip(value)] as const);
    if (format === 'json') {
      return `${JSON.stringify({ ...Object.fromEntries(data), time, level, message })}\n`;
    }
    const text = data.map(([name, value]) => ` ${name}=${typeof value === 'string' ? quote(value) : String(value)}`);
    return `${time} ${level.padEnd(5)} ${message}${text.join('')}\n`;
  }
}

function isSecret(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[._-]/);
  return SECRET_WORDS.has(words.at(-1) ?? '');
}

// Bare where a reader and a shell agree on where it ends; otherwise as JSON, which also keeps a line a line.
function quote(text: string): string {
  return /^[\w./:@[\]-]+$/.test(text) ? text : JSON.stringify(text);
}

function clip(value: string | number | boolean | undefined): string | number | boolean | undefined {
  return typeof value === 'string' && value.length > VALUE_LENGTH_MAX ? `${value.slice(0, VALUE_LENGTH_MAX)}…` : value;
}
