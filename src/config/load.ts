// SPDX-License-Identifier: Apache-2.0

import { isServiceLink } from './env.ts';
import { type Setting, variableOf } from './setting.ts';
import { suggest } from './suggest.ts';
import { type Config, PART_NAMES, type PartName, settingsOf } from './table.ts';

/** One thing that is wrong with flags or variables, told in full: all of them are reported together. */
export interface ConfigProblem {
  /** The flag or variable as the user knows it. */
  readonly name: string;
  readonly reason: string;
}

/** What a command line says. `positionals` are words without a flag, `rest` is what stands after `--`. */
export interface Loaded<P extends PartName> {
  readonly config: Config<P>;
  readonly positionals: readonly string[];
  readonly rest: readonly string[];
}

interface CommandLine {
  readonly given: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
  readonly rest: readonly string[];
}

/**
 * Reads flags over variables over defaults into one frozen `Config` with the parts asked for.
 *
 * Returns every problem at once instead: unknown flags and variables (with what was probably meant), values that cannot
 * be read or are out of range, and settings without which the command cannot run.
 */
export function loadConfig<const P extends PartName>(
  parts: readonly P[],
  argv: readonly string[],
  variables: ReadonlyMap<string, string>,
): Loaded<P> | readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const line = readCommandLine(parts, argv, problems);
  // Whoever asks for help is not told what is missing.
  const wantsHelp = line.given.get('help')?.[0] === 'true';
  checkVariables(variables, problems);

  const config: Record<string, Record<string, unknown>> = {};
  for (const part of parts) {
    const branch: Record<string, unknown> = {};
    for (const [key, setting] of settingsOf(part)) {
      branch[key] = readSetting(setting, line.given, variables, wantsHelp, problems);
    }
    config[part] = Object.freeze(branch);
  }
  if (problems.length > 0 && !wantsHelp) return uniqueProblems(problems);
  return {
    config: Object.freeze(config) as Config<P>,
    positionals: line.positionals,
    rest: line.rest,
  };
}

function readSetting(
  setting: Setting<unknown>,
  given: ReadonlyMap<string, readonly string[]>,
  variables: ReadonlyMap<string, string>,
  lenient: boolean,
  problems: ConfigProblem[],
): unknown {
  const fromFlag = given.get(setting.flag);
  const variable = variableOf(setting.flag);
  const fromVariable = setting.flagOnly === true ? undefined : variables.get(variable);
  const name = fromFlag !== undefined ? `--${setting.flag}` : variable;
  const texts = fromFlag ?? (fromVariable === undefined ? undefined : [fromVariable]);
  if (texts === undefined && setting.default === undefined) {
    if (setting.required && !lenient) {
      const or = setting.flagOnly === true ? '' : ` (or ${variable})`;
      problems.push({
        name: `--${setting.flag} ${setting.type.placeholder}`,
        reason: `is needed${or}: ${setting.help}`,
      });
    }
    return undefined;
  }
  if (texts !== undefined && texts.length > 1 && setting.type.repeatable !== true) {
    problems.push({ name, reason: `is given ${texts.length} times` });
    return undefined;
  }
  const parsed = setting.type.parse(texts ?? [setting.default ?? '']);
  if ('value' in parsed) return Object.freeze(parsed.value);
  problems.push({ name, reason: `${JSON.stringify((texts ?? []).join(','))} ${parsed.reason}` });
  return undefined;
}

function readCommandLine(parts: readonly PartName[], argv: readonly string[], problems: ConfigProblem[]): CommandLine {
  const byFlag = new Map(parts.flatMap((part) => [...settingsOf(part).values()]).map((one) => [one.flag, one]));
  const byLetter = new Map(
    [...byFlag.values()].filter((one) => one.short !== undefined).map((one) => [one.short, one]),
  );
  const given = new Map<string, string[]>();
  const positionals: string[] = [];

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string;
    if (word === '--') return { given, positionals, rest: argv.slice(i + 1) };
    if (!word.startsWith('-') || word === '-') {
      positionals.push(word);
      continue;
    }
    const cut = word.indexOf('=');
    const name = cut < 0 ? word : word.slice(0, cut);
    const setting = name.startsWith('--') ? byFlag.get(name.slice(2)) : byLetter.get(name.slice(1));
    if (setting === undefined) {
      problems.push({ name, reason: unknownFlag(name, byFlag.keys()) });
      // Its value, if it has one, is not a positional that somebody meant.
      if (cut < 0 && argv[i + 1]?.startsWith('-') === false) i++;
      continue;
    }
    let value = cut < 0 ? undefined : word.slice(cut + 1);
    if (value === undefined && setting.type.isSwitch === true) value = 'true';
    if (value === undefined) {
      const next = argv[i + 1];
      if (next === undefined || next === '--') {
        problems.push({
          name,
          reason: `needs a value: ${setting.type.placeholder}`,
        });
        continue;
      }
      value = next;
      i++;
    }
    const values = given.get(setting.flag);
    if (values === undefined) given.set(setting.flag, [value]);
    else values.push(value);
  }
  return { given, positionals, rest: [] };
}

function unknownFlag(name: string, known: Iterable<string>): string {
  const meant = suggest(name.replace(/^-+/, ''), known);
  return meant === undefined
    ? 'is not an option of this command (see --help)'
    : `is not an option of this command; did you mean --${meant}?`;
}

function checkVariables(variables: ReadonlyMap<string, string>, problems: ConfigProblem[]): void {
  const known = new Set(
    PART_NAMES.flatMap((part) => [...settingsOf(part).values()])
      .filter((one) => one.flagOnly !== true)
      .map((one) => variableOf(one.flag)),
  );
  for (const [name, value] of variables) {
    if (known.has(name) || isServiceLink(name, value)) continue;
    const meant = suggest(name, known);
    problems.push({
      name,
      reason: `is not a variable of groundwire${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    });
  }
}

/** Two parts may share a flag (`--node`); its mistake is told once. */
function uniqueProblems(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  return [...new Map(problems.map((one) => [`${one.name} ${one.reason}`, one])).values()];
}
