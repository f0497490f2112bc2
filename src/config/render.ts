// SPDX-License-Identifier: Apache-2.0

import { type Setting, variableOf } from './setting.ts';
import { type Config, PART_NAMES, type PartName, settingsOf } from './table.ts';

/** The options of some parts as `--help` prints them, two columns. */
export function renderOptions(parts: readonly PartName[]): string {
  const rows = new Map<string, string>();
  for (const part of parts) {
    for (const setting of settingsOf(part).values()) {
      const short = setting.short === undefined ? '    ' : `-${setting.short}, `;
      const value = setting.type.isSwitch === true ? '' : ` ${setting.type.placeholder}`;
      rows.set(`  ${short}--${setting.flag}${value}`, describe(setting));
    }
  }
  const width = Math.min(42, Math.max(...[...rows.keys()].map((left) => left.length)) + 2);
  return [...rows]
    .map(([left, right]) => (left.length < width ? left.padEnd(width) : `${left}\n${' '.repeat(width)}`) + right)
    .join('\n');
}

function describe(setting: Setting<unknown>): string {
  const notes: string[] = [];
  if (setting.required) notes.push('needed');
  if (setting.type.range !== '') notes.push(setting.type.range);
  if (
    setting.default !== undefined &&
    setting.default !== '' &&
    !setting.help.includes('(default:') &&
    setting.type.isSwitch !== true
  ) {
    notes.push(`default ${setting.default}`);
  }
  if (setting.type.isSwitch === true && setting.default === 'true') notes.push('default true');
  return setting.help + (notes.length === 0 ? '' : ` (${notes.join('; ')})`);
}

const PART_TITLES: Readonly<Record<PartName, readonly [title: string, commands: string]>> = {
  node: ['Node', '`agent`, `up`'],
  upstream: ['Control plane of an agent', '`agent`'],
  engine: ['Engine', '`agent`, `up`, `doctor`'],
  pods: ['Pods', '`agent`, `up`'],
  api: ['API of an agent', '`agent`, `up`'],
  log: ['Logs', '`agent`, `control`, `up`'],
  control: ['Control plane', '`control`, `up`'],
  mesh: ['Mesh', '`agent`, `control`, `up`'],
  defaults: ['Defaults of the mesh', '`control`, `up`'],
  token: ['Join token', '`control token`'],
  target: ['Which agent', 'every command that asks an agent'],
  output: ['Output', 'every command that asks an agent'],
  run: ['A pod', '`run`'],
  explain: ['A question', '`explain`'],
  common: ['Always', 'every command'],
};

/** `docs/config.md`, whole. */
export function renderConfigDocs(): string {
  const parts = PART_NAMES.map((part) => {
    const [title, commands] = PART_TITLES[part];
    const rows = [...settingsOf(part).values()].map((setting) => {
      const variable = setting.flagOnly === true ? '' : `\`${variableOf(setting.flag)}\``;
      // The host name differs between machines; the text of the docs must not.
      const fallback = setting.help.includes('(default:') ? '' : (setting.default ?? '');
      const cells = [
        `\`--${setting.flag}\``,
        variable,
        setting.type.placeholder,
        setting.type.range,
        fallback,
        setting.required ? `${setting.help} (needed)` : setting.help,
      ];
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    });
    return `## ${title}\n\nTaken by ${commands}.\n\n| flag | variable | value | range | default | meaning |\n|---|---|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  return [
    '# Configuration\n',
    'Generated from `src/config/table.ts`. A flag goes before its variable, a variable before the default. Units are demanded: `250ms`, `5s`, `64Ki`.',
    'An unknown flag, an unknown variable that begins with `GROUNDWIRE_`, or a value out of range is an error; all are reported together, exit status 64.\n',
    ...parts,
  ].join('\n');
}

/** The effective values, flat, for the one log line at start; what the table redacts is not in it. */
export function describeConfig(config: Partial<Config<PartName>>): Readonly<Record<string, string>> {
  const shown: Record<string, string> = {};
  for (const part of PART_NAMES) {
    const branch = config[part] as Readonly<Record<string, unknown>> | undefined;
    if (branch === undefined) continue;
    for (const [key, setting] of settingsOf(part)) {
      const value = branch[key];
      if (value !== undefined)
        shown[setting.flag] =
          setting.redact === true ? '(redacted)' : typeof value === 'string' ? value : JSON.stringify(value);
    }
  }
  return shown;
}
