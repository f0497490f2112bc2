// SPDX-License-Identifier: Apache-2.0

// What a gRPC client says of a connection that did not come to be is the words of grpc-js around those of Node around
// those of the system; here they become those of an operator. What is known to none of these is told as it came.

type Explain = (found: RegExpExecArray) => string;

const ADDRESS = String.raw`(?: (\S+:\d+))?`;

const FAILURES: readonly (readonly [pattern: RegExp, explain: Explain])[] = [
  [
    new RegExp(`ECONNREFUSED${ADDRESS}`),
    ([, address]) =>
      `the control plane does not listen at ${address ?? 'its address'}: start it, or name the right address with --control`,
  ],
  [
    new RegExp(`(EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL)${ADDRESS}`),
    ([, code, address]) =>
      `${address ?? 'the control plane'} cannot be reached from here (${code}): check the address of --control, routes and firewalls`,
  ],
  [
    /Name resolution failed for target (?:dns:)?(\S+)|(?:ENOTFOUND|EAI_AGAIN) (\S+)/,
    ([, target, name]) =>
      `the name ${target ?? name} cannot be resolved: check --control and the resolvers of this node`,
  ],
  [
    /unable to (?:verify the first|get (?:local )?issuer) certificate|self[- ]signed certificate|certificate signature failure/,
    () =>
      'the control plane does not have a certificate of the roots given here: the file of --token-file (or --root-cert) is of another control plane; make a new one with `groundwire control token` where this one runs',
  ],
  [
    /certificate has expired|certificate is not yet valid/,
    ([words]) => `the control plane's ${words}: compare the clocks of both machines`,
  ],
  [
    /Hostname\/IP does not match certificate's altnames: ([^:]*).*/,
    () =>
      "the control plane's certificate is for other names than the host of --control: add that with --server-name there, or say here with --control-name which name to expect",
  ],
  [
    /wrong version number|packet length too long|disconnected before secure TLS connection/,
    () => 'what listens at the address of --control does not speak TLS as a control plane does: check the port',
  ],
  [
    /Deadline exceeded(?: after ([\d.]+)s)?/,
    ([, seconds]) =>
      `the control plane did not answer${seconds === undefined ? '' : ` in ${Math.round(Number(seconds))} s`}`,
  ],
  [/ECONNRESET|Connection dropped|socket hang up/, () => 'the connection to the control plane broke'],
];

// How grpc-js wraps the last thing that went wrong; the note is empty but for names that do not resolve.
const WRAPPED = /^No connection established\. Last error: (?:Error(?: \[\w+\])?: )?(.*?)\.? Resolution note: ?(.*)$/s;

/** The details of a status that the client made itself, in words for people. */
export function explainTransportFailure(details: string): string {
  for (const [pattern, explain] of FAILURES) {
    const found = pattern.exec(details);
    if (found !== null) return explain(found);
  }
  const wrapped = WRAPPED.exec(details);
  if (wrapped === null) return details;
  const [, last, note] = wrapped;
  const reasons = [last, note].filter((text) => text !== '' && text !== 'null');
  return ['no connection to the control plane', ...reasons].join(': ');
}
