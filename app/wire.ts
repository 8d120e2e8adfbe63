import type { Response } from 'express';
import { maxDepth, parseJson } from '../db/json.ts';
import type { Sandbox } from '../db/sandboxes.ts';
import type { Config } from './config.ts';

/** Returns `VMSandboxInfo` of the contract as JSON text; the metadata goes in as it was stored. */
export function sandboxInfo(sandbox: Sandbox): string {
  return `{${infoMembers(sandbox)}}`;
}

/** Returns `VM` of the contract as JSON text. */
export function vm(sandbox: Sandbox): string {
  const { id, memoryMb, vcpuCount } = sandbox;
  return `{"vm_id":${JSON.stringify(id)},${infoMembers(sandbox)},"memory_mb":${memoryMb},"vcpu_count":${vcpuCount}}`;
}

/** Sends JSON text of metadata in an object in an array at most; with response validation on, through the validator. */
export function sendJson(res: Response, config: Config, text: string): void {
  if (config.validateResponses) res.json(parseJson(text, maxDepth + 2));
  else res.setHeader('Content-Type', 'application/json; charset=utf-8').end(text);
}

function infoMembers({ id, templateId, metadata, startedAt, endAt, status }: Sandbox): string {
  return (
    `"sandbox_id":${JSON.stringify(id)},"template_id":${JSON.stringify(templateId)},` +
    `"name":${JSON.stringify(templateId ?? 'default')},"metadata":${metadata},"started_at":"${isoTime(startedAt)}",` +
    `"end_at":${endAt === null ? null : `"${isoTime(endAt)}"`},"status":"${status}"`
  );
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
