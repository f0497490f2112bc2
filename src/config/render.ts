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

/**
 * A usage line with the value of each option put behind its name: `--to [-o]` becomes `--to HOST:PORT [-o table|json]`.
 *
 * Throws for a name that is none of the parts' options.
 */
export function renderUsage(usage: string, parts: readonly PartName[]): string {
  const settings = parts.flatMap((part) => [...settingsOf(part).values()]);
  return usage.replaceAll(
    /(?<![\w-])(?:--([a-z][a-z-]*)|-([a-z]))(?![\w-])/g,
    (name, flag?: string, short?: string) => {
      const setting = settings.find((one) => (flag === undefined ? one.short === short : one.flag === flag));
      if (setting === undefined)
        throw new Error(`usage ${JSON.stringify(usage)}: ${name} is no option of this command`);
      return setting.type.isSwitch === true ? name : `${name} ${setting.type.placeholder}`;
    },
  );
}

/** How options are set other than by flag, as the line below them in `--help`. */
export function renderVariableNote(parts: readonly PartName[]): string {
  const flagOnly = parts
    .flatMap((part) => [...settingsOf(part).values()])
    .filter((one) => one.flagOnly === true && one.flag !== 'help')
    .map((one) => `--${one.flag}`);
  const but = flagOnly.length === 0 ? '' : ` (not ${flagOnly.join(', ')})`;
  return `Each option can be set by a variable, too: GROUNDWIRE_ and its name in capitals with "_"${but}.`;
}

const PART_TITLES: Readonly<Record<PartName, string>> = {
  node: 'Node',
  state: 'State on disk',
  upstream: 'Control plane of an agent',
  kernel: 'Kernel',
  engine: 'Engine',
  pods: 'Pods',
  exit: 'Exit of an agent',
  api: 'API of an agent',
  log: 'Logs',
  accessLog: 'Access log',
  directory: 'Manifests',
  source: 'Source of the mesh',
  kubernetes: 'API server of Kubernetes',
  control: 'Control plane',
  mesh: 'Mesh',
  defaults: 'Defaults of the mesh',
  token: 'Join token',
  target: 'Which agent',
  output: 'Output',
  run: 'A pod',
  explain: 'A question',
  common: 'Always',
};

/** What the docs need to know of a command. */
export interface PartsTaker {
  readonly name: string;
  readonly parts: readonly PartName[];
}

/** `docs/config.md`, whole; `commands` are all there are. */
export function renderConfigDocs(commands: readonly PartsTaker[]): string {
  const parts = PART_NAMES.map((part) => {
    const takers = commands.filter((command) => command.parts.includes(part)).map(({ name }) => `\`${name}\``);
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
    return `## ${PART_TITLES[part]}\n\nTaken by ${part === 'common' ? 'every command' : takers.join(', ')}.\n\n| flag | variable | value | range | default | meaning |\n|---|---|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  return [
    '# Configuration\n',
    'Generated from `src/config/table.ts`. A flag goes before its variable, a variable before the default. Units are demanded: `250ms`, `5s`, `64Ki`.',
    'An unknown flag, an unknown variable that begins with `GROUNDWIRE_`, or a value out of range is an error; all are reported together, exit status 64.',
    'Variables by which Kubernetes tells where a Service named `groundwire` or `groundwire-…` is (`GROUNDWIRE_SERVICE_HOST`, `GROUNDWIRE_PORT=tcp://…`) are no settings and left alone.\n',
    ...parts,
  ].join('\n');
}

/** The effective values, flat and as they would be given; what is not set is left out. No setting is a secret: those are in files. */
export function describeConfig(config: Partial<Config<PartName>>): Readonly<Record<string, string>> {
  const shown: Record<string, string> = {};
  for (const part of PART_NAMES) {
    const branch = config[part] as Readonly<Record<string, unknown>> | undefined;
    // What they all take asks for something else than to run.
    if (branch === undefined || part === 'common') continue;
    for (const [key, { flag, type }] of settingsOf(part)) {
      const value = branch[key];
      const text = value === undefined ? '' : type.format(value);
      if (text !== '') shown[flag] = text;
    }
  }
  return shown;
}
