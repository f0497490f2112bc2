// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrongWithKey, wrongWithLabelValue, wrongWithName, wrongWithNamespace } from '#src/model/kubernetes-name.ts';

type Wrong = (text: string) => string | undefined;

const CASES: readonly (readonly [Wrong, good: readonly string[], bad: readonly (readonly [string, RegExp])[]])[] = [
  [
    wrongWithName,
    ['a', 'web-1', 'a.b-c.9', 'x'.repeat(253)],
    [
      ['', /^is empty$/],
      ['Web', /lower-case letters/],
      ['-web', /beginning and ending/],
      ['web-', /beginning and ending/],
      ['a..b', /none of them empty/],
      ['.a', /none of them empty/],
      ['a.-b', /each part between dots/],
      ['a_b', /is not a name/],
      ['../../etc', /is not a name/],
      ['x'.repeat(254), /^is too long: 254 characters, and 253 are allowed$/],
    ],
  ],
  [
    wrongWithNamespace,
    ['shop', 'a-1', 'x'.repeat(63)],
    [
      ['', /^is empty$/],
      ['a.b', /is not the name of a namespace/],
      ['a-', /beginning and ending/],
      ['x'.repeat(64), /64 characters, and 63/],
    ],
  ],
  [
    wrongWithKey,
    ['app', 'App_2.x', 'istio.io/dataplane-mode', `a.b/${'x'.repeat(63)}`],
    [
      ['', /^the name "" is empty$/],
      ['/a', /^the prefix "" is empty$/],
      ['a/', /^the name "" after the "\/" is empty$/],
      ['A.b/c', /^the prefix "A\.b" is not a name/],
      ['a/b/c', /^the name "b\/c" after the "\/" is not made of letters/],
      ['a b', /^the name "a b" is not made of letters/],
      ['x'.repeat(64), /64 characters, and 63/],
    ],
  ],
  [
    wrongWithLabelValue,
    ['', 'web', 'V1.2_3-x', 'x'.repeat(63)],
    [
      ['-a', /is not made of letters.*beginning and ending/],
      ['a b', /is not made of/],
      ['a=b', /is not made of/],
      ['ä', /is not made of/],
      ['x'.repeat(64), /64 characters, and 63/],
    ],
  ],
];

for (const [wrongWith, good, bad] of CASES) {
  test(`${wrongWith.name}: what Kubernetes takes, and why it does not take the rest`, () => {
    for (const text of good) assert.equal(wrongWith(text), undefined, text);
    for (const [text, says] of bad) assert.match(wrongWith(text) ?? 'nothing is wrong', says, text);
  });
}
