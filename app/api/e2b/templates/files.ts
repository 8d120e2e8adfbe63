import { timingSafeEqual } from 'node:crypto';
import { type ErrorRequestHandler, type Request, type RequestHandler, Router } from 'express';
import { findTemplateOwner } from '../../../../db/builds/read.ts';
import { StoreError } from '../../../../db/errors.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { principalOf, requireWriter } from '../../../auth.ts';
import type { Context, Machines } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { bodyPieces } from '../../../http/streams/body.ts';
import { Streams } from '../../../http/streams/streams.ts';
import { tooLarge } from '../../../machines/build-files/build-files.ts';
import { unknownTemplate } from './templates.ts';

type Schemas = components['schemas'];

/** How long the address of an upload is valid. */
const validSeconds = 3600;

/** Uploads at the same time. Each may take as much disk as one file may. */
const maxUploads = { all: 64, ofOne: 8, whose: 'The user' };

/** The routes of the tag `e2b-builds` for files that builds copy. They need machines. */
export function e2bBuildFilesRoutes(context: Context): Router {
  const router = Router();
  router.get('/templates/:templateID/files/:hash', ask(context));
  router.put('/templates/:templateID/files/:hash', receive(context));
  router.use('/templates/:templateID/files', closeUnread, unknownTemplate);
  return router;
}

function ask({ store, now, machines, config }: Context): RequestHandler {
  return async (req, res) => {
    requireWriter(req);
    const { templateId, hash } = fileOf(req);
    const { user } = principalOf(req);
    if ((await findTemplateOwner(store.db, templateId)) !== user.id) throw unknown();
    const { buildFiles, tokenOf } = machines as Machines;
    const expires = Math.floor(now() / 1000) + validSeconds;
    const query = new URLSearchParams({ expires: String(expires), signature: tokenOf(signedText(req, expires)) });
    const body: Schemas['TemplateBuildFile'] = {
      present: await buildFiles.has(user.id, { templateId, hash }),
      url: `${originOf(req, config.domain)}/templates/${templateId}/files/${hash}?${query}`,
    };
    res.status(201).json(body);
  };
}

function receive({ store, now, machines, config }: Context): RequestHandler {
  const streams = new Streams(maxUploads);
  return async (req, res) => {
    const { buildFiles, tokenOf } = machines as Machines;
    const { expires, signature } = req.query as Record<string, string>;
    if (!isEqual(signature as string, tokenOf(signedText(req, Number(expires))))) {
      throw new HttpError(403, 'The address of the upload is not valid: ask for another');
    }
    if (Number(expires) < now() / 1000)
      throw new HttpError(403, 'The address of the upload has expired: ask for another');
    const { templateId, hash } = fileOf(req);
    const ownerId = await findTemplateOwner(store.db, templateId);
    if (ownerId === null) throw unknown();
    if (Number(req.headers['content-length']) > buildFiles.maxFileBytes) throw tooLarge(buildFiles.maxFileBytes);
    streams.take(res, String(ownerId));
    await buildFiles.receive(ownerId, { templateId, hash }, bodyPieces(req, config.requestSeconds));
    res.status(204).end();
  };
}

/** Closes the connection after an error, if a part of the body is still to come. */
const closeUnread: ErrorRequestHandler = (error, req, res, next) => {
  if (!req.complete && !res.headersSent) res.set('Connection', 'close');
  next(error);
};

function fileOf({ params }: Request): { templateId: string; hash: string } {
  return { templateId: params.templateID as string, hash: params.hash as string };
}

/** Returns the text that is signed for an upload. No id of a sandbox has a slash. */
function signedText(req: Request, expires: number): string {
  const { templateId, hash } = fileOf(req);
  return `upload/${templateId}/${hash}/${expires}`;
}

/** Takes the same time whatever the texts are. Both have the same length. */
function isEqual(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/**
 * Returns the origin that the client called. Clients reach the API below the configured domain over
 * TLS only.
 */
function originOf(req: Request, domain: string | undefined): string {
  const isApi = domain !== undefined && req.host?.toLowerCase() === `api.${domain}`;
  const origin = `${isApi ? 'https' : req.protocol}://${req.host}`;
  if (req.host && URL.canParse(origin)) return origin;
  throw new HttpError(400, 'The Host header is missing or is no host, so that no address to upload to can be made');
}

function unknown(): StoreError {
  return new StoreError('not_found', 'Template not found');
}
