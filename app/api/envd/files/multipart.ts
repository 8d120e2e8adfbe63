import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import busboy, { type Busboy, type FieldInfo } from 'busboy';
import type { Request } from 'express';
import { HttpError } from '../../../errors.ts';
import { contentTypeOf } from '../../../http/content-type.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import { checkedPath, pathResolver } from './paths.ts';
import type { Written } from './written.ts';

/** Parts of one form. */
const maxParts = 10_000;
/** Bytes of a part without a file name, which is read whole. */
const maxFieldBytes = 65_536;

const longText = `A part named file without a file name has more than ${maxFieldBytes} bytes: give it a file name`;

type Form = {
  agent: Agent;
  user: string;
  req: Request;
  body: AsyncIterable<Buffer>;
  /** where the file goes; undefined: where its part says */
  path: string | undefined;
  write: (path: string, content: AsyncIterable<Buffer>) => Promise<Written>;
  signal: AbortSignal;
};

/**
 * Writes the parts named `file` of a form (RFC 7578), one after another. Throws HttpError 400 for a
 * form that can't be read, a file without a path, and two files with one path.
 */
export async function writeForm(form: Form): Promise<Written[]> {
  const parser = parserOf(form.req);
  const files = new FormFiles(form, parser);
  try {
    await pipeline(files.paced(form.body), parser, { signal: form.signal });
  } catch (error) {
    throw files.failure ?? asHttpError(error);
  }
  const written = await files.all();
  if (written.length === 0) throw new HttpError(400, 'The form has no part named file with a file name');
  return written;
}

/** Writes the files of a form in order: the parser may find one before the last is written. */
class FormFiles {
  /** why a file was not written */
  failure: unknown;
  readonly #form: Form;
  readonly #parser: Busboy;
  readonly #written: Written[] = [];
  readonly #taken = new Set<string>();
  #resolve: ((path: string) => string) | undefined;
  #beforeLast = Promise.resolve();
  #last = Promise.resolve();

  constructor(form: Form, parser: Busboy) {
    this.#form = form;
    this.#parser = parser;
    parser.on('file', (name, content, { filename }) => this.#add(name, content, filename));
    parser.on('field', (name, text, info) => name === 'file' && this.#addText(text, info));
    // The parser goes on with what it has: what follows a fault must not be written.
    parser.on('error', (error) => {
      this.failure ??= asHttpError(error);
    });
    parser.on('partsLimit', () => this.#fail(new HttpError(400, `The form has more than ${maxParts} parts`)));
  }

  /** Yields the body. Waits until all files but the last, which may go on, are written. */
  async *paced(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of body) {
      yield piece;
      await this.#beforeLast;
    }
  }

  async all(): Promise<Written[]> {
    await this.#last;
    if (this.failure !== undefined) throw this.failure;
    return this.#written;
  }

  #add(name: string, content: Readable, filename: string | undefined): void {
    // A part that ends early is reported by the parser as well.
    content.on('error', () => {});
    if (name !== 'file') return void content.resume();
    this.#beforeLast = this.#last;
    this.#last = this.#last.then(() => this.#write(content, filename)).catch((error) => this.#fail(error));
  }

  /** A part without a file name: E2B's clients send short texts so, with the path in the query. */
  #addText(text: string, { valueTruncated }: FieldInfo): void {
    if (valueTruncated) this.#fail(new HttpError(400, longText));
    else this.#add('file', Readable.from([Buffer.from(text)]), undefined);
  }

  async #write(content: Readable, filename: string | undefined): Promise<void> {
    if (this.failure !== undefined) return;
    const path = this.#form.path ?? checkedPath(filename ?? '');
    if (path === '') throw new HttpError(400, 'A part named file has no file name');
    await this.#take(path);
    this.#written.push(await this.#form.write(path, content));
  }

  /** Throws HttpError 400 for a path that an earlier part had. */
  async #take(path: string): Promise<void> {
    const { agent, user, signal } = this.#form;
    this.#resolve ??= await pathResolver(agent, user, signal);
    const whole = this.#resolve(path);
    if (this.#taken.has(whole))
      throw new HttpError(400, `Two files of the form have the path ${whole}: the first was written`);
    this.#taken.add(whole);
  }

  #fail(error: unknown): void {
    this.failure ??= error;
    this.#parser.destroy(error instanceof Error ? error : undefined);
  }
}

function parserOf(req: Request): Busboy {
  try {
    return busboy({
      headers: { 'content-type': contentTypeOf(req) },
      preservePath: true,
      defParamCharset: 'utf8',
      limits: { parts: maxParts, fieldSize: maxFieldBytes },
    });
  } catch (error) {
    throw asHttpError(error);
  }
}

function asHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  return new HttpError(400, `The form can't be read: ${error instanceof Error ? error.message : error}`);
}
