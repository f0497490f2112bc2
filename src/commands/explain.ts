// SPDX-License-Identifier: Apache-2.0

import type { ExplainAnswer } from '../api/facts.ts';
import { AgentClient } from './agent-client.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-code.ts';
import { formatAnswer } from './output.ts';

export const command = defineCommand({
  name: 'explain',
  summary: 'Where a connection would go, or whether it would be let in, and why.',
  usage: '--from --to [--direction]',
  description:
    "Asks the agent's own decision functions; no connection is made. Outbound also tells whether a destination on the same node\n" +
    'lets the connection in; of one on another node, ask inbound at the agent there.',
  examples: [
    'groundwire explain --from shop/client --to web.shop:80',
    'groundwire explain --direction inbound --from shop/client --to 10.244.1.5:8080',
  ],
  parts: ['explain', 'target', 'output'],
  run: async ({ explain, target, output }, _words, io) => {
    const agent = await AgentClient.find(target);
    const query = new URLSearchParams({
      direction: explain.direction,
      from: explain.from,
      address: explain.to.host,
      port: String(explain.to.port),
    });
    const answer = (await agent.ask('GET', `/explain?${query.toString()}`)) as ExplainAnswer;
    io.print(
      await formatAnswer(output.format, answer, () =>
        [answer.outcome, ...answer.lines.map((line) => `  ${line}`)].join('\n'),
      ),
    );
    return EXIT.ok;
  },
});
