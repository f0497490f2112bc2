// SPDX-License-Identifier: Apache-2.0

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates in a text, each as PEM of its own with one newline at its end. */
export function splitPem(text: string): string[] {
  return (text.match(CERTIFICATE) ?? []).map((pem) => `${pem}\n`);
}
