import type { Response } from 'express';
import { maxDepth, parseJson } from '../../db/json/json.ts';
import type { ListedSandbox, Sandbox } from '../../db/sandboxes/read.ts';
import { isoTime } from '../../spec/time.ts';
import type { Config } from '../config/config.ts';
import { sessionIdOf } from '../session-id.ts';
import { jsonTypeFor } from './json.ts';

/** Returns the contract's `VMSandboxInfo` as JSON text; metadata goes in as it was stored. */
export function sandboxInfo(sandbox: ListedSandbox): string {
  return `{${infoMembers(sandbox)}}`;
}

/** Returns a JSON array of the texts that `write` makes of the items. */
export function jsonArray<T>(items: T[], write: (item: T) => string): string {
  let text = '[';
  // Adding to one text takes half the time of joining a thousand.
  for (const item of items) text += `${text.length > 1 ? ',' : ''}${write(item)}`;
  return `${text}]`;
}

/** Returns `VM` of the contract as JSON text. */
export function vm(sandbox: Sandbox): string {
  const { id, memoryMb, vcpuCount } = sandbox;
  const ids = `"vm_id":"${id}","session_id":${JSON.stringify(sessionIdOf(id))}`;
  return `{${ids},${infoMembers(sandbox)},"memory_mb":${memoryMb},"vcpu_count":${vcpuCount}}`;
}

const largeText = 16_384;

/** Sends JSON text of metadata in an object in an array at most; with response validation on, through the validator. */
export function sendJson(res: Response, config: Config, text: string): void {
  if (config.validateResponses) res.json(parseJson(text, maxDepth + 2));
  else {
    res.setHeader('Content-Type', jsonTypeFor(res.req));
    // A large text is turned into bytes once here; node would go through it twice.
    res.end(text.length > largeText ? Buffer.from(text) : text);
  }
}

function infoMembers({ id, templateId, metadata, startedAt, endAt, status }: ListedSandbox): string {
  const template = JSON.stringify(templateId);
  const canExpire = status === 'active' && endAt !== null;
  // An id is of letters, digits and dashes: it needs no escape.
  return (
    `"sandbox_id":"${id}","template_id":${template},"name":${templateId === null ? '"default"' : template},` +
    `"metadata":${metadata},"started_at":"${isoTime(startedAt)}",` +
    `"end_at":${canExpire ? `"${isoTime(endAt)}"` : null},"status":"${status}"`
  );
}
