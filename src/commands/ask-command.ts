// SPDX-License-Identifier: Apache-2.0

import { AgentClient } from './agent-client.ts';
import { type Command, defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { type Column, formatAnswer, renderTable } from './output.ts';

export interface ListCommandOptions<T> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Path of the agent's API. */
  readonly path: string;
  readonly columns: readonly Column<T>[];
  /** What stands in place of a table without rows. */
  readonly empty: string;
  readonly examples: readonly string[];
}

/** A command that asks an agent for a list and prints it. */
export function listCommand<T>(options: ListCommandOptions<T>): Command<'target' | 'output'> {
  return defineCommand({
    name: options.name,
    summary: options.summary,
    usage: '[--node] [-o]',
    description: options.description,
    examples: options.examples,
    parts: ['target', 'output'],
    run: async ({ target, output }, _words, io) => {
      const agent = await AgentClient.find(target);
      const rows = (await agent.ask('GET', options.path)) as readonly T[];
      io.print(await formatAnswer(output.format, rows, () => renderTable(rows, options.columns, options.empty)));
      return EXIT.ok;
    },
  });
}
