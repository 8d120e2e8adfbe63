import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { type Sent, SentNumber, type SentObject } from '../../../db/json/reader.ts';
import { type Contract, resolve, type Schema, unescapePointer, withoutReferences } from '../../../spec/load.ts';
import { dateTimeFormat } from '../../../spec/time.ts';
import type { Problem } from '../../errors.ts';
import { datetimeFormat } from '../pydantic/datetime.ts';
import {
  brokenBound,
  extraForbidden,
  isNumber,
  listLength,
  missing,
  notListed,
  valueErrorOf,
  type Words,
  wrongType,
} from '../pydantic/words.ts';
import { integerOf } from '../query.ts';
import { plainValue, valueAt } from './sent-values.ts';

/** So many problems are listed; the rest is counted. */
export const maxProblems = 100;

/**
 * Collects what is wrong with a request, part by part, in the order in which pydantic would tell it: the schema's
 * properties in its order, then members that it doesn't know as they were sent. It looks at every value once.
 */
export class ProblemList {
  readonly #contract: Contract;
  readonly #loc: (string | number)[] = [];
  readonly problems: Problem[] = [];
  /** How many problems there are beyond those listed. */
  unlisted = 0;

  constructor(contract: Contract) {
    this.#contract = contract;
  }

  /** Adds what is wrong with a value found at `loc`. Of text, in a URL or a header, integers are parsed. */
  check(loc: (string | number)[], schema: Schema, value: Sent, isText = false): void {
    this.#loc.splice(0, this.#loc.length, ...loc);
    this.#check(shapeOf(this.#contract, schema), value, isText);
  }

  /** Adds that a required value is not there. */
  addMissing(loc: (string | number)[]): void {
    this.#loc.splice(0, this.#loc.length, ...loc);
    this.#add(missing, null);
  }

  #check(shape: Shape, value: Sent, isText: boolean): void {
    if (value === null && shape.types.includes('null')) return;
    const before = this.#count;
    this.#checkShape(shape, value, isText);
    if (this.#count > before || !shape.checkRest) return;
    const error = shape.checkRest(plainValue(value));
    if (error) this.#addFound(error, value);
  }

  /** What a `not` forbids, its description says. */
  #addFound({ instancePath, keyword, schema, message: found = 'not allowed' }: ErrorObject, value: Sent): void {
    const keys = instancePath.split('/').slice(1).map(unescapePointer);
    const message = keyword === 'not' ? ((schema as Schema).description ?? found) : found;
    this.#loc.push(...keys);
    this.#add(valueErrorOf(message), valueAt(value, keys) ?? null);
    this.#loc.length -= keys.length;
  }

  #checkShape(shape: Shape, value: Sent, isText: boolean): void {
    const { schema, types, expected } = shape;
    const read = isText && expected === 'integer' ? (integerOf(String(value)) ?? value) : value;
    if (schema.enum && !(isScalar(read) && schema.enum.includes(plainValue(read)))) {
      return void this.#add(notListed(schema.enum), value);
    }
    if (expected !== undefined && !types.some((type) => isOfType(type, read))) {
      return void this.#add(wrongType(schema, expected, value, isText), value);
    }
    if (Array.isArray(read)) return void this.#checkItems(schema, read, isText);
    if (read instanceof Map) return void this.#checkMembers(schema, read);
    const words = brokenBound(schema, read);
    if (words) this.#add(words, value);
  }

  #checkItems({ minItems = 0, maxItems, items }: Schema, value: Sent[], isText: boolean): void {
    const { length } = value;
    if (maxItems !== undefined && length > maxItems)
      return void this.#add(listLength('maxItems', maxItems, length), value);
    const before = this.#count;
    const shape = items && shapeOf(this.#contract, items);
    if (shape) for (const [index, item] of value.entries()) this.#within(index, () => this.#check(shape, item, isText));
    if (this.#count === before && length < minItems) this.#add(listLength('minItems', minItems, length), value);
  }

  #checkMembers({ properties = {}, required = [], additionalProperties }: Schema, value: SentObject): void {
    for (const [name, schema] of Object.entries(properties)) {
      const member = value.get(name);
      if (member !== undefined) this.#within(name, () => this.#check(shapeOf(this.#contract, schema), member, false));
      else if (required.includes(name)) this.#within(name, () => this.#add(missing, value));
    }
    if (additionalProperties === undefined || additionalProperties === true) return;
    const shape = additionalProperties === false ? null : shapeOf(this.#contract, additionalProperties);
    for (const [name, member] of value) {
      if (Object.hasOwn(properties, name)) continue;
      this.#within(name, () => (shape ? this.#check(shape, member, false) : this.#add(extraForbidden, member)));
    }
  }

  get #count(): number {
    return this.problems.length + this.unlisted;
  }

  #within(place: string | number, check: () => void): void {
    this.#loc.push(place);
    check();
    this.#loc.pop();
  }

  #add({ type, msg, ctx }: Words, value: Sent): void {
    if (this.problems.length >= maxProblems) this.unlisted++;
    else this.problems.push({ type, loc: [...this.#loc], msg, input: value, ...(ctx && { ctx }) });
  }
}

/** A schema as it is looked at, once for all values: without references and without null among its alternatives. */
type Shape = {
  schema: Schema;
  types: string[];
  /** The type that a value of the wrong one is told. */
  expected: string | undefined;
  /** Judges by the keywords that are not looked at here. */
  checkRest: ((value: unknown) => ErrorObject | null) | null;
};

const shapes = new WeakMap<Schema, Shape>();

function shapeOf(contract: Contract, schema: Schema): Shape {
  const known = shapes.get(schema);
  if (known) return known;
  const resolved = resolve<Schema>(contract, schema);
  const inner = resolved.anyOf?.filter(({ type }) => type !== 'null') ?? [];
  const isNullable = inner.length === 1 && resolved.anyOf?.length === 2;
  const { anyOf, ...outer } = resolved;
  const whole = isNullable ? { ...outer, ...resolve<Schema>(contract, inner[0] as Schema) } : resolved;
  const types = [whole.type ?? [], isNullable ? 'null' : []].flat();
  const shape = {
    schema: whole,
    types,
    expected: types.find((type) => type !== 'null'),
    checkRest: restOf(contract, whole),
  };
  shapes.set(schema, shape);
  return shape;
}

const lookedAt = new Set(
  ['type', 'enum', 'properties', 'required', 'additionalProperties', 'items', 'minimum', 'maximum', 'minLength'].concat(
    [
      'maxLength',
      'minItems',
      'maxItems',
      'pattern',
      'title',
      'description',
      'default',
      'examples',
      'example',
      'allowEmptyValue',
    ],
  ),
);

let ajv: Ajv2020 | undefined;

/** Returns what judges by the schema's other keywords, as the validator does; null where there are none. */
function restOf(contract: Contract, schema: Schema): Shape['checkRest'] {
  const rest = Object.entries(schema).filter(([keyword]) => !lookedAt.has(keyword) && !keyword.startsWith('x-'));
  if (rest.length === 0) return null;
  let validate: ValidateFunction | undefined;
  return (value) => {
    validate ??= ajvOf().compile(withoutReferences(contract, Object.fromEntries(rest)) as Schema);
    return validate(value) ? null : (validate.errors?.[0] ?? null);
  };
}

function ajvOf(): Ajv2020 {
  if (ajv) return ajv;
  ajv = new Ajv2020({ strict: false, verbose: true });
  addFormats.default(ajv, { mode: 'fast' });
  ajv.addFormat('date-time', dateTimeFormat);
  ajv.addFormat('pydantic-datetime', datetimeFormat);
  return ajv;
}

function isOfType(type: string, value: Sent): boolean {
  switch (type) {
    case 'integer':
      return isNumber(value) && Number.isInteger(value instanceof SentNumber ? Number(value.text) : value);
    case 'number':
      return isNumber(value) && Number.isFinite(value instanceof SentNumber ? Number(value.text) : value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return value instanceof Map;
    case 'null':
      return value === null;
    default:
      return typeof value === type;
  }
}

function isScalar(value: Sent): boolean {
  return !Array.isArray(value) && !(value instanceof Map);
}
