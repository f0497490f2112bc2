// SPDX-License-Identifier: Apache-2.0
//
// Which standard headers bring which others along differs from one compiler to the next: what g++ 12 builds, g++ 14 did
// not, for want of a <cstdint> that another header had brought. So each file of C++ names the header of what it uses.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** Standard headers, and the names that each is included for. A name in none of them is taken from no one. */
const HEADERS: readonly (readonly [header: string, names: RegExp])[] = [
  [
    'algorithm',
    names('min max clamp find find_if all_of any_of none_of copy copy_n replace sort max_element min_element'),
  ],
  ['algorithm', /\bstd::ranges::/],
  ['array', names('array')],
  ['atomic', /\bstd::(?:atomic\b|memory_order_)/],
  ['bitset', names('bitset')],
  ['cctype', names('isalnum isdigit isalpha isspace tolower toupper')],
  ['cerrno', /\berrno\b/],
  ['charconv', names('from_chars to_chars')],
  ['chrono', /\bstd::chrono::/],
  ['cmath', names('trunc floor ceil log exp pow')],
  ['concepts', names('same_as integral')],
  ['condition_variable', names('condition_variable')],
  ['cstddef', names('ptrdiff_t byte max_align_t')],
  ['cstdint', /\b(?:u?int(?:8|16|32|64|ptr)_t|U?INT(?:8|16|32|64)_MAX|SIZE_MAX)\b/],
  ['cstdio', names('perror printf fprintf snprintf vsnprintf fread fwrite fopen fclose fputs')],
  ['cstdlib', names('abort exit getenv strtol strtoul malloc free')],
  ['cstring', names('memcpy memcmp memset memmove memchr strerror strlen strncmp strncpy strcmp')],
  ['ctime', names('tm strftime time_t')],
  ['deque', names('deque')],
  ['filesystem', /\bstd::filesystem::/],
  ['fstream', names('ifstream ofstream fstream')],
  ['functional', names('function hash reference_wrapper')],
  ['initializer_list', names('initializer_list')],
  ['iostream', names('cout cerr')],
  ['iterator', names('back_inserter prev next')],
  ['limits', names('numeric_limits')],
  ['list', names('list')],
  ['map', names('map multimap')],
  ['memory', names('unique_ptr shared_ptr weak_ptr make_unique make_shared enable_shared_from_this')],
  ['mutex', names('mutex lock_guard unique_lock scoped_lock call_once')],
  ['numeric', names('accumulate iota')],
  ['optional', names('optional nullopt')],
  ['set', names('set multiset')],
  ['span', names('span')],
  ['sstream', names('istringstream ostringstream stringstream')],
  ['string', names('string to_string getline')],
  ['string_view', names('string_view')],
  ['system_error', names('errc error_code')],
  ['thread', /\bstd::(?:thread\b|this_thread::)/],
  ['type_traits', names('make_unsigned_t is_same_v decay_t enable_if_t conditional_t')],
  ['unordered_map', names('unordered_map unordered_multimap')],
  ['unordered_set', names('unordered_set')],
  ['utility', names('move forward exchange pair swap')],
  ['variant', names('variant visit get_if holds_alternative monostate')],
  ['vector', names('vector')],
];

/** What the standard says that a header brings along. */
const BRINGS: Readonly<Record<string, readonly string[]>> = { string: ['string_view'], variant: ['utility'] };

function names(list: string): RegExp {
  return new RegExp(`\\bstd::(?:${list.replaceAll(' ', '|')})\\b`);
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

function standardIncludes(text: string): string[] {
  const included = Array.from(text.matchAll(/^#include <([\w/.]+)>/gm), ([, header = '']) => header);
  return included.flatMap((header) => [header, ...(BRINGS[header] ?? [])]);
}

/** Each standard header that a file uses and does not include; `own` is the text of the header that the file implements. */
function missingIncludes(text: string, own = ''): string[] {
  const included = new Set([...standardIncludes(text), ...standardIncludes(own)]);
  const code = withoutComments(text);
  const used = HEADERS.filter(([, pattern]) => pattern.test(code)).map(([header]) => header);
  return [...new Set(used)].filter((header) => !included.has(header));
}

const sources = new Map(
  globSync('{native,bench}/**/*.{h,cc}', { cwd: root }).map((path) => [path, readFileSync(join(root, path), 'utf8')]),
);

function ownHeader(path: string, text: string): string | undefined {
  const header = path.replace(/\.cc$/, '.h');
  if (header === path) return undefined;
  const name = header.slice(dirname(path).length + 1);
  return new RegExp(`^#include "(?:[\\w/]+/)?${name}"`, 'm').test(text) ? sources.get(header) : undefined;
}

test('includes: every file of C++ includes the standard headers of what it uses', () => {
  assert.ok(sources.size > 0);
  const offences = [...sources].flatMap(([path, text]) =>
    missingIncludes(text, ownHeader(path, text)).map((header) => `${path} uses a name of <${header}>: include it`),
  );
  assert.ok(offences.length === 0, offences.join('\n'));
});

test('includes: a name used without its header is told, one in a comment or a string is not', () => {
  assert.deepEqual(missingIncludes('uint64_t Cookie();'), ['cstdint']);
  assert.deepEqual(missingIncludes('#include <cstdint>\nuint64_t Cookie();'), []);
  assert.deepEqual(missingIncludes('std::string_view Name();', '#include <string>'), []);
  assert.deepEqual(missingIncludes('// a std::vector\nauto text = "std::map";'), []);
});
