// SPDX-License-Identifier: Apache-2.0

import { renderOptions, renderUsage, renderVariableNote } from '../config/render.ts';
import type { Config, PartName } from '../config/table.ts';
import type { ExitCode } from './exit-code.ts';

/** The outside as a command sees it. */
export interface CommandIo {
  print(text: string): void;
  printError(text: string): void;
  /** Calls back for each of these signals until the returned function is called. */
  onSignals(signals: readonly NodeJS.Signals[], listener: (signal: NodeJS.Signals) => void): () => void;
  /** Ends the process now, as that signal would have. */
  abandon(signal: NodeJS.Signals): void;
}

/** What stands on the command line beside flags. */
export interface Words {
  readonly positionals: readonly string[];
  readonly rest: readonly string[];
}

/** One command of the CLI: what it is called, what it takes and what it does. */
export interface Command<P extends PartName = PartName> {
  readonly name: string;
  readonly summary: string;
  /** What follows the name on the usage line; the values of options are put in from the table. */
  readonly usage: string;
  /** Paragraphs between the usage line and the options. */
  readonly description: string;
  readonly examples: readonly string[];
  readonly parts: readonly P[];
  /** Words without a flag that it accepts; one more is an error. Default 0. */
  readonly positionalsMax?: number;
  run(config: Config<P>, words: Words, io: CommandIo): Promise<ExitCode>;
}

/** Gives a command its exact config type from the parts it names. */
export function defineCommand<const P extends PartName>(command: Command<P>): Command<P> {
  return command;
}

/** What `--help` prints. */
export function renderHelp(command: Command): string {
  return [
    `${command.summary}\n`,
    `Usage: groundwire ${command.name} ${renderUsage(command.usage, command.parts)}\n`,
    `${command.description}\n`,
    `Options:\n${renderOptions([...command.parts, 'common'])}\n`,
    `${renderVariableNote(command.parts)}\n`,
    `Examples:\n${command.examples.map((example) => `  ${example}`).join('\n')}\n`,
  ].join('\n');
}
