import { isUtf8 } from 'node:buffer';
import { isObject, type Json, JsonError, maxDepth } from '../../../db/json/json.ts';
import { readJson, type Sent } from '../../../db/json/reader.ts';
import { ValidationFailure } from '../../errors.ts';
import { jsonProblem, parseOrRefuse } from '../json.ts';
import { formType, parseForm } from '../query.ts';

type Format = {
  /** Returns the body's value. Throws ValidationFailure. */
  parse: (bytes: Buffer) => unknown;
  /**
   * Returns the value of a body that `parse` has accepted, as it was sent: every digit, in the
   * order sent.
   */
  readSent: (bytes: Buffer) => Sent;
};

/** The formats of bodies, by media type. */
export const formats: Record<string, Format> = {
  'application/json': { parse: parseJsonBody, readSent: (bytes) => readJson(bytes.toString()) },
  'application/x-ndjson': { parse: parseJsonLines, readSent: (bytes) => linesOf(bytes.toString()).map(readJson) },
  [formType]: {
    parse: (bytes) => parseForm(bytes.toString()),
    readSent: (bytes) => new Map(Object.entries(parseForm(bytes.toString()))),
  },
};

function parseJsonBody(bytes: Buffer): unknown {
  const text = textOf(bytes);
  // The levels around metadata, whose own depth is limited: the body, and an array of such bodies.
  const around = text.trimStart().startsWith('[') ? 2 : 1;
  const body = parseOrRefuse(text, ['body'], {}, maxDepth + around);
  return Array.isArray(body) ? body.map(withPlainNumbers) : withPlainNumbers(body);
}

/** Returns an array of the lines' values. */
function parseJsonLines(bytes: Buffer): unknown {
  return linesOf(textOf(bytes)).map((line, index) =>
    withPlainNumbers(parseOrRefuse(line, ['body', index], {}, maxDepth + 1)),
  );
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  throw new ValidationFailure([jsonProblem(new JsonError('syntax', 'not UTF-8'), ['body'], {})]);
}

/**
 * Replaces, in place, numerals that no double holds exactly by the nearest double. Metadata is left
 * alone: it keeps every digit.
 */
function withPlainNumbers(body: Json): unknown {
  if (!isObject(body)) return toDoubles(body);
  for (const key of Object.keys(body)) {
    const member = body[key] as Json;
    if (key !== 'metadata' || !isObject(member)) body[key] = toDoubles(member) as Json;
  }
  return body;
}

function toDoubles(value: Json): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (JSON.isRawJSON(value)) return Number(value.rawJSON);
  const holder = value as Record<string, Json>;
  for (const key of Object.keys(holder)) {
    const member = holder[key];
    if (typeof member === 'object' && member !== null) holder[key] = toDoubles(member) as Json;
  }
  return value;
}
