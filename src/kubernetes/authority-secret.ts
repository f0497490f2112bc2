// SPDX-License-Identifier: Apache-2.0

import type { ApiClient } from './api-client.ts';
import { ApiError } from './api-error.ts';

/** The key and certificate of the mesh's root, PEM. */
export interface RootFiles {
  readonly key: string;
  readonly certificate: string;
}

const NAME = 'groundwire-ca';
const FIELDS = { key: 'root.key', certificate: 'root.pem' } as const;

/** The mesh's root as a Secret, so that every replica of a control plane, and every later one, signs with the same. */
export class AuthoritySecret {
  readonly #client: Pick<ApiClient, 'get' | 'send'>;
  readonly #path: string;
  readonly #namespace: string;

  constructor(client: Pick<ApiClient, 'get' | 'send'>, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.#path = `/api/v1/namespaces/${namespace}/secrets`;
  }

  /** Undefined: none has been made. Throws `ApiError`, also for a Secret that holds no root: nobody may make another then. */
  async read(): Promise<RootFiles | undefined> {
    let secret: unknown;
    try {
      secret = await this.#client.get(`${this.#path}/${NAME}`);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
    const { data } = secret as { data?: Readonly<Record<string, unknown>> };
    const [key, certificate] = [data?.[FIELDS.key], data?.[FIELDS.certificate]];
    if (typeof key === 'string' && typeof certificate === 'string')
      return { key: fromBase64(key), certificate: fromBase64(certificate) };
    throw new ApiError(
      `the Secret ${this.#namespace}/${NAME} does not hold ${FIELDS.key} and ${FIELDS.certificate}: restore it, or delete it for a new root, which no running agent trusts`,
      0,
    );
  }

  /** False: another replica was faster, and its root is the mesh's. */
  async create({ key, certificate }: RootFiles): Promise<boolean> {
    try {
      await this.#client.send('POST', this.#path, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: NAME, namespace: this.#namespace, labels: { 'app.kubernetes.io/part-of': 'groundwire' } },
        data: { [FIELDS.key]: toBase64(key), [FIELDS.certificate]: toBase64(certificate) },
      });
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) return false;
      throw error;
    }
  }
}

function fromBase64(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}

function toBase64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
