import type { Request, Response } from 'express';
import { type Contract, resolve, type Schema } from '../../../../spec/load.ts';
import type { paths } from '../../../../spec/types.gen.ts';
import { bytesReader } from '../../../contract/body/bytes.ts';
import { formats } from '../../../contract/body/formats.ts';
import { ProblemList } from '../../../contract/problems/problem-list.ts';
import { HttpError, ValidationFailure } from '../../../errors.ts';
import { contentTypeOf } from '../../../http/content-type.ts';

/** The paths of procedures that the contract describes. */
export type Procedure = {
  [Path in keyof paths]: paths[Path]['post'] extends { requestBody: object; responses: { default: unknown } }
    ? Path
    : never;
}[keyof paths];

type Body<P extends Procedure> = paths[P]['post'] extends { requestBody: { content: infer Content } } ? Content : never;

/** The message that a procedure is called with. */
export type Message<P extends Procedure> = Body<P>[keyof Body<P>];

const readBytes = bytesReader(() => true);
const json = formats['application/json'] as (typeof formats)[string];

/** Reads the messages of a procedure's requests. */
export class MessageReader<P extends Procedure> {
  readonly #contract: Contract;
  readonly #mediaType: string;
  readonly #schema: Schema;

  /** Throws an Error if the contract does not describe the procedure. */
  constructor(contract: Contract, path: P) {
    const content = contract.paths[path]?.post?.requestBody?.content ?? {};
    const [described] = Object.entries(content);
    if (!described) throw new Error(`openapi.yaml has no body of ${path}`);
    this.#contract = contract;
    this.#mediaType = described[0];
    this.#schema = resolve(contract, described[1].schema);
  }

  /** Returns the body. Throws HttpError 413 and 415, and ValidationFailure. */
  async readBody(req: Request, res: Response): Promise<Buffer> {
    this.checkType(req);
    const { promise, resolve: done, reject } = Promise.withResolvers<void>();
    readBytes(req, res, (error?: unknown) => (error ? reject(error) : done()));
    await promise;
    const body: unknown = req.body;
    return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  }

  /** Throws HttpError 415 if the request has another media type than the procedure. */
  checkType(req: Request): void {
    const type = contentTypeOf(req).toLowerCase();
    const [mediaType = '', charset = ''] = type.split(/;\s*charset=/);
    if (mediaType.trim() !== this.#mediaType || !/^(?:"?utf-?8"?)?$/.test(charset.trim())) {
      throw new HttpError(415, `Unsupported Media Type: send ${this.#mediaType}`);
    }
  }

  /** Returns the message in a JSON text. Throws ValidationFailure if it breaks the contract. */
  parse(text: Buffer): Message<P> {
    const message = json.parse(text);
    const list = new ProblemList(this.#contract);
    list.check(['body'], this.#schema, json.readSent(text));
    if (list.problems.length > 0) throw new ValidationFailure(list.problems);
    return message as Message<P>;
  }
}
