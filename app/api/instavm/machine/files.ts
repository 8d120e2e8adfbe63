import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import busboy, { type Busboy } from 'busboy';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { components } from '../../../../spec/types.gen.ts';
import { principalOf } from '../../../auth.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { contentTypeOf } from '../../../http/content-type.ts';
import { bodyPieces } from '../../../http/streams/body.ts';
import { sendPieces } from '../../../http/streams/send.ts';
import { Streams } from '../../../http/streams/streams.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import type { Entry } from '../../../machines/agent/entry.ts';
import { AgentError } from '../../../machines/agent/error.ts';
import { readFile, statFile, writeFile } from '../../../machines/agent/files.ts';
import { shownToUsers } from '../errors.ts';
import { type MachineTargets, noMachines, pathIn, placeOf } from './target.ts';

/** How many uploads and downloads there are at once. */
const limits = { all: 256, ofOne: 32, whose: 'The user' };
/** The longest field of a form, in bytes: paths are shorter. */
const maxFieldBytes = 65_536;

/** The routes for whole files. Paths that are not absolute start where commands run. */
export function filesRoutes(context: Context, targets: MachineTargets): Router {
  const streams = new Streams(limits);
  const router = Router();
  router.post('/upload', upload(context, targets, streams));
  router.post('/download', download(targets, streams));
  return router;
}

function upload({ config, machines }: Context, targets: MachineTargets, streams: Streams): RequestHandler {
  return async (req, res) => {
    if (!machines) throw new HttpError(501, noMachines, { Connection: 'close' });
    const closed = streams.take(res, String(principalOf(req).user.id));
    const entry = await new Form(req, targets, closed).write(bodyPieces(req, config.requestSeconds)).catch((error) => {
      throw shownToUsers(error);
    });
    res.json({ message: 'File uploaded', path: entry.path, size: entry.size } satisfies Schemas['UploadedFile']);
  };
}

type Schemas = components['schemas'];

/** The form of an upload, whose fields come before its file. */
class Form {
  readonly #req: Request;
  readonly #targets: MachineTargets;
  readonly #closed: AbortSignal;
  readonly #parser: Busboy;
  readonly #fields = new Map<string, string>();
  #written: Promise<Entry> | null = null;

  constructor(req: Request, targets: MachineTargets, closed: AbortSignal) {
    this.#req = req;
    this.#targets = targets;
    this.#closed = closed;
    this.#parser = parserOf(req);
    this.#parser.on('field', (name, value) => this.#fields.set(name, value));
    this.#parser.on('file', (name, content, { filename }) => this.#add(name, content, filename));
  }

  /** Writes the file as it arrives, no faster than the machine takes it. */
  async write(body: AsyncIterable<Buffer>): Promise<Entry> {
    const parsed = pipeline(body, this.#parser, { signal: this.#closed });
    // What the machine refuses ends the upload: the rest of the file is not wanted.
    await Promise.race([parsed, this.#failure.promise]).catch((error) => {
      throw error instanceof Error && 'status' in error ? error : unreadable(error);
    });
    if (!this.#written) throw new HttpError(422, 'The form has no part named file');
    return this.#written;
  }

  readonly #failure = Promise.withResolvers<never>();

  #add(name: string, content: Readable, filename: string | undefined): void {
    content.on('error', () => {});
    if (name !== 'file' || this.#written) return void content.resume();
    this.#written = this.#put(content, basename(filename ?? ''));
    this.#written.catch((error) => {
      this.#failure.reject(shownToUsers(error));
      this.#parser.destroy();
    });
  }

  async #put(content: Readable, name: string): Promise<Entry> {
    const [sessionId, path] = ['session_id', 'remote_path'].map((field) => this.#fields.get(field));
    if (!sessionId || !path) throw new HttpError(422, 'Send session_id and remote_path before the file');
    if (this.#fields.get('recursive') === 'true')
      throw new HttpError(501, 'Sandpit takes one file at a time, no folder');
    const target = await this.#targets.ofSession(this.#req, sessionId);
    const [agent, { user }] = [await target.agent(), placeOf(target)];
    const given = pathIn(target, path);
    const to = (await isDirectory(agent, user, given)) ? `${given.replace(/\/$/, '')}/${name}` : given;
    return writeFile(agent, user, to, content, {}, this.#closed);
  }
}

async function isDirectory(agent: Agent, user: string, path: string): Promise<boolean> {
  if (path.endsWith('/')) return true;
  try {
    return (await statFile(agent, user, path)).type === 'directory';
  } catch (error) {
    if (error instanceof AgentError && error.code === 'not_found') return false;
    throw error;
  }
}

function parserOf(req: Request): Busboy {
  try {
    const headers = { 'content-type': contentTypeOf(req) };
    return busboy({
      headers,
      preservePath: true,
      defParamCharset: 'utf8',
      limits: { parts: 100, fieldSize: maxFieldBytes },
    });
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): HttpError {
  return new HttpError(422, `The form can't be read: ${error instanceof Error ? error.message : error}`);
}

function download(targets: MachineTargets, streams: Streams): RequestHandler {
  return async (req, res) => {
    const { filename, session_id: sessionId }: Schemas['DownloadRequest'] = req.body;
    const target = await targets.ofSession(req, sessionId);
    const closed = streams.take(res, String(principalOf(req).user.id));
    try {
      const agent = await target.agent();
      const { entry, content } = await readFile(
        agent,
        placeOf(target).user,
        pathIn(target, filename),
        undefined,
        closed,
      );
      await sendContent(res, { filename, size: entry.size }, content, closed);
    } catch (error) {
      if (!closed.aborted && !res.headersSent) throw shownToUsers(error);
    }
  };
}

/** Sends a file as InstaVM's JSON object, as it is read. */
async function sendContent(
  res: Response,
  about: { filename: string; size: number },
  content: AsyncIterable<Buffer>,
  closed: AbortSignal,
): Promise<void> {
  const pieces = base64Of(content)[Symbol.asyncIterator]();
  // Before the headers, so that a file that can't be read has a status of its own.
  const first = await pieces.next();
  res.type('application/json');
  // InstaVM's client saves the JSON text itself if the content is empty.
  const text = first.done ? '\\n' : first.value;
  await sendPieces(res, jsonOf(`${JSON.stringify(about).slice(0, -1)},"content":"${text}`, pieces), closed);
}

async function* jsonOf(begin: string, pieces: AsyncIterator<string>): AsyncGenerator<Buffer> {
  yield Buffer.from(begin);
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield Buffer.from(next.value);
  yield Buffer.from('"}');
}

/** Yields content in base64: three bytes are four characters, whatever their pieces. */
async function* base64Of(content: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of content) {
    const bytes = Buffer.concat([rest, piece]);
    const whole = bytes.length - (bytes.length % 3);
    rest = bytes.subarray(whole);
    if (whole > 0) yield bytes.toString('base64', 0, whole);
  }
  if (rest.length > 0) yield rest.toString('base64');
}
