// SPDX-License-Identifier: Apache-2.0

// What Kubernetes takes as names and labels. Each function returns what is wrong with a text, in words that follow it
// ("… is empty"), or `undefined` when nothing is.

const NAME_MAX = 253;
const LABEL_MAX = 63;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_TEXT = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const LABEL_FORM = 'letters, digits, "-", "_" and ".", beginning and ending with a letter or digit';

/** Of an object: a DNS subdomain (RFC 1123). */
export function wrongWithName(text: string): string | undefined {
  const length = wrongWithLength(text, NAME_MAX);
  if (length !== undefined) return length;
  const part = text.split('.').find((one) => !DNS_LABEL.test(one));
  if (part === undefined) return undefined;
  if (part === '') return 'is not a name: a "." stands between two parts, none of them empty';
  return 'is not a name: lower-case letters, digits, "-" and ".", each part between dots beginning and ending with a letter or digit';
}

/** Of a namespace: a DNS label. */
export function wrongWithNamespace(text: string): string | undefined {
  const length = wrongWithLength(text, LABEL_MAX);
  if (length !== undefined) return length;
  if (DNS_LABEL.test(text)) return undefined;
  return 'is not the name of a namespace: lower-case letters, digits and "-", beginning and ending with a letter or digit';
}

/** Of the key of a label or an annotation: `NAME` or `PREFIX/NAME`; the words name the part and stand alone. */
export function wrongWithKey(text: string): string | undefined {
  const slash = text.indexOf('/');
  const prefix = text.slice(0, Math.max(slash, 0));
  const name = text.slice(slash + 1);
  if (slash >= 0) {
    const wrong = wrongWithName(prefix);
    if (wrong !== undefined) return `the prefix ${JSON.stringify(prefix)} ${wrong}`;
  }
  const wrong = wrongWithLabelText(name);
  if (wrong === undefined) return undefined;
  return `the name ${JSON.stringify(name)}${slash < 0 ? '' : ' after the "/"'} ${wrong}`;
}

/** Of a label; it may be empty. */
export function wrongWithLabelValue(text: string): string | undefined {
  return text === '' ? undefined : wrongWithLabelText(text);
}

function wrongWithLabelText(text: string): string | undefined {
  const length = wrongWithLength(text, LABEL_MAX);
  if (length !== undefined) return length;
  return LABEL_TEXT.test(text) ? undefined : `is not made of ${LABEL_FORM}`;
}

function wrongWithLength(text: string, max: number): string | undefined {
  if (text === '') return 'is empty';
  return text.length <= max ? undefined : `is too long: ${text.length} characters, and ${max} are allowed`;
}
