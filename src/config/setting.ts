// SPDX-License-Identifier: Apache-2.0

import { VARIABLE_PREFIX } from './env.ts';
import type { ValueType } from './parse.ts';

/** One thing that can be set: by `--flag`, by its variable, or left at its default. `T` is what the parts receive. */
export interface Setting<T> {
  readonly flag: string;
  /** The text of the default, parsed like any other; `undefined` when there is none. */
  readonly default: string | undefined;
  readonly required: boolean;
  readonly help: string;
  /** One letter that may stand for the flag. */
  readonly short?: string;
  /** Flag only: settings of one call, such as labels of a pod. */
  readonly flagOnly?: boolean;
  readonly type: ValueType<Exclude<T, undefined>>;
}

type Extra = Pick<Setting<unknown>, 'short' | 'flagOnly'>;

/** A setting with a default. */
export function setting<T>(
  flag: string,
  type: ValueType<T>,
  fallback: string,
  help: string,
  extra: Extra = {},
): Setting<T> {
  return {
    flag,
    type: type as ValueType<Exclude<T, undefined>>,
    default: fallback,
    required: false,
    help,
    ...extra,
  };
}

/** A setting that may be absent. */
export function optional<T>(flag: string, type: ValueType<T>, help: string, extra: Extra = {}): Setting<T | undefined> {
  return {
    flag,
    type: type as ValueType<Exclude<T, undefined>>,
    default: undefined,
    required: false,
    help,
    ...extra,
  };
}

/** A setting without which the command cannot run. */
export function required<T>(flag: string, type: ValueType<T>, help: string, extra: Extra = {}): Setting<T> {
  return {
    flag,
    type: type as ValueType<Exclude<T, undefined>>,
    default: undefined,
    required: true,
    help,
    ...extra,
  };
}

/** The environment variable of a setting. */
export function variableOf(flag: string): string {
  return VARIABLE_PREFIX + flag.toUpperCase().replaceAll('-', '_');
}
