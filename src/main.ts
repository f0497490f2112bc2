// SPDX-License-Identifier: Apache-2.0

import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Command, type CommandIo, renderHelp } from './commands/command.ts';
import { COMMANDS } from './commands/commands.ts';
import { CliError, EXIT, type ExitCode } from './commands/exit-code.ts';
import { readVariables } from './config/env.ts';
import { loadConfig } from './config/load.ts';
import { suggest } from './config/suggest.ts';
import { errorTrace } from './host/error-trace.ts';

const io: CommandIo = {
  print: (text) => process.stdout.write(`${text}\n`),
  printError: (text) => process.stderr.write(`groundwire: ${text}\n`),
  abandon: (signal) => process.exit(128 + constants.signals[signal]),
  onSignals(signals, listener) {
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  },
};

function renderOverview(): string {
  const width = Math.max(...COMMANDS.map((one) => one.name.length)) + 2;
  return [
    'Groundwire: a service mesh without sidecars.\n',
    'Usage: groundwire COMMAND [OPTIONS]\n',
    'Commands:',
    ...COMMANDS.map((one) => `  ${one.name.padEnd(width)}${one.summary}`),
    '\nExamples:',
    '  sudo groundwire doctor',
    '  sudo groundwire up --manifests ./manifests',
    '  sudo groundwire run --namespace shop --name web -- python3 -m http.server 80',
    '\n`groundwire COMMAND --help` says more and gives examples.',
  ].join('\n');
}

async function main(argv: readonly string[]): Promise<ExitCode> {
  const [name = 'help', ...words] = argv;
  if (name === 'help' || name === '--help' || name === '-h') {
    if (words[0]?.startsWith('-') === false) return main([...words, '--help']);
    io.print(renderOverview());
    return argv.length === 0 ? EXIT.usage : EXIT.ok;
  }
  const wanted = name === '--version' || name === '-v' ? 'version' : name;
  // `control token` is a command of its own that shares its first word with another.
  const twoWords = `${wanted} ${words[0] ?? ''}`;
  const entry = COMMANDS.find((one) => one.name === twoWords) ?? COMMANDS.find((one) => one.name === wanted);
  if (entry === undefined) {
    const meant = suggest(
      wanted,
      COMMANDS.map((one) => one.name),
    );
    io.printError(
      `there is no command ${JSON.stringify(wanted)}${meant === undefined ? '' : `; did you mean "${meant}"?`} (see groundwire --help)`,
    );
    return EXIT.usage;
  }
  return runCommand(await entry.load(), entry.name === twoWords ? words.slice(1) : words);
}

async function runCommand(command: Command, argv: readonly string[]): Promise<ExitCode> {
  const loaded = loadConfig([...command.parts, 'common'], argv, readVariables());
  if (!('config' in loaded)) {
    for (const { name, reason } of loaded) io.printError(`${name} ${reason}`);
    io.printError(`see groundwire ${command.name} --help`);
    return EXIT.usage;
  }
  if (loaded.config.common.help) {
    io.print(renderHelp(command));
    return EXIT.ok;
  }
  const surplus = loaded.positionals[command.positionalsMax ?? 0];
  if (surplus !== undefined) {
    io.printError(`${JSON.stringify(surplus)} is not expected here; see groundwire ${command.name} --help`);
    return EXIT.usage;
  }
  return command.run(loaded.config, loaded, io);
}

// Whoever reads our output has gone, as in `groundwire version | true`: an end, and no news to anybody.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(128 + constants.signals.SIGPIPE);
  fail(error);
});
// A service whose reader of the log has gone works on: the logger counts what it could not write.
process.stderr.on('error', () => {});
process.on('uncaughtException', fail);

try {
  const status = await main(process.argv.slice(2));
  // What is still on its way to a pipe would be lost by an exit now.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  process.exit(status);
} catch (error) {
  fail(error);
}

function fail(error: unknown): never {
  if (error instanceof CliError) {
    io.printError(error.message);
    process.exit(error.exitCode);
  }
  const missing = missingPackage(error);
  if (missing !== undefined) {
    const root = fileURLToPath(new URL('..', import.meta.url));
    io.printError(
      `the npm package ${missing} is not installed in ${root}node_modules; run \`npm run build\` in ${root}`,
    );
    process.exit(EXIT.system);
  }
  io.printError(`this is a bug: ${errorTrace(error)}`);
  process.exit(EXIT.internal);
}

/** The package that is not installed, if that is what went wrong: an import of a file of ours would be a bug. */
function missingPackage(error: unknown): string | undefined {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') return undefined;
  return /^Cannot find package '([^']+)'/.exec(error.message)?.[1];
}
