// SPDX-License-Identifier: Apache-2.0

/** One checked-in file that a generator wrote. */
export interface GeneratedFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly content: string;
}

/** First lines of every generated source file. */
export function generatedHeader(source: string): string {
  return `// SPDX-License-Identifier: Apache-2.0\n// Generated from ${source} by scripts/gen.ts; edit that and run \`npm run gen\`.\n`;
}
