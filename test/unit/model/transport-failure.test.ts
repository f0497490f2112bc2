// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainTransportFailure } from '#src/model/transport-failure.ts';

/** What grpc-js makes of a failed attempt to connect. */
function wrapped(last: string): string {
  return `No connection established. Last error: ${last}. Resolution note: `;
}

// As grpc-js 1.14 on Node 24 says them.
const RECORDED: readonly (readonly [details: string, says: RegExp])[] = [
  [
    wrapped('Error: connect ECONNREFUSED 192.0.2.1:15012'),
    /^the control plane does not listen at 192\.0\.2\.1:15012: start it/,
  ],
  [
    wrapped('Error: connect EHOSTUNREACH 2001:db8::1:15012'),
    /^2001:db8::1:15012 cannot be reached from here \(EHOSTUNREACH\): check/,
  ],
  ['Name resolution failed for target dns:nowhere.invalid:1', /^the name nowhere\.invalid:1 cannot be resolved: check/],
  [
    wrapped('Error: unable to verify the first certificate'),
    /^the control plane does not have a certificate of the roots given here: .* make a new one/,
  ],
  [
    wrapped(
      "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: other.example. is not in the cert's altnames: DNS:localhost, IP Address:127.0.0.1",
    ),
    /^the control plane's certificate is for other names .* --server-name there, or .* --control-name/,
  ],
  [wrapped('Error: certificate has expired'), /^the control plane's certificate has expired: compare the clocks/],
  [
    wrapped('Error: Client network socket disconnected before secure TLS connection was established'),
    /does not speak TLS as a control plane does: check the port$/,
  ],
  [
    wrapped(
      'Error: 40ADE221797F0000:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:../deps/openssl/openssl/ssl/record/methods/tlsany_meth.c:77:\n',
    ),
    /does not speak TLS as a control plane does: check the port$/,
  ],
  ['Deadline exceeded after 9.998s,LB pick: 0.002s,remote_addr=192.0.2.1:15012', /did not answer in 10 s$/],
];

for (const [details, says] of RECORDED) {
  test(`explainTransportFailure: ${says.source}`, () => {
    const explained = explainTransportFailure(details);
    assert.match(explained, says);
    assert.doesNotMatch(explained, /No connection|Last error|Resolution note|\bError\b|deps\//);
  });
}

test('explainTransportFailure: what it does not know loses only its wrapping, what a server says nothing', () => {
  assert.equal(
    explainTransportFailure(wrapped('Error [ERR_NEW]: the moon is full')),
    'no connection to the control plane: the moon is full',
  );
  assert.equal(explainTransportFailure('the server is stopping'), 'the server is stopping');
});
