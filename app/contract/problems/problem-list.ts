import type { ErrorObject } from 'ajv';
import type { Sent, SentObject } from '../../../db/json/reader.ts';
import { type Contract, type Schema, unescapePointer } from '../../../spec/load.ts';
import type { Problem } from '../../errors.ts';
import { boundError, listLengthError } from '../pydantic/bound-error.ts';
import { extraForbidden, missing, type PydanticError, valueErrorOf } from '../pydantic/error.ts';
import { integerOf } from '../pydantic/integer.ts';
import { enumError, isOfType, typeError } from '../pydantic/type-error.ts';
import { plainValue, valueAt } from '../sent-values.ts';
import { type Shape, shapeOf } from './schema-shape.ts';

/** Problems that are listed. Further ones are only counted. */
export const maxProblems = 100;

/**
 * Collects the problems of a request in pydantic's order: the schema's properties in the schema's
 * order, then unknown members in the order in which they were sent. It visits every value once.
 */
export class ProblemList {
  readonly #contract: Contract;
  /** The location of the value that is being checked. */
  readonly #loc: (string | number)[] = [];
  readonly problems: Problem[] = [];
  /** The number of problems beyond `maxProblems`. */
  unlisted = 0;

  constructor(contract: Contract) {
    this.#contract = contract;
  }

  /**
   * Adds the problems of a value at `loc`. With `isText` (URLs and headers), integers are parsed
   * from text.
   */
  check(loc: (string | number)[], schema: Schema, value: Sent, isText = false): void {
    this.#loc.splice(0, this.#loc.length, ...loc);
    this.#check(shapeOf(this.#contract, schema), value, isText);
  }

  /** Adds the problem of a required value that is missing. */
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
    if (error) this.#addFromAjv(error, value);
  }

  /** The description of a `not` says what it forbids; ajv's own message does not. */
  #addFromAjv(error: ErrorObject, value: Sent): void {
    const { instancePath, keyword, schema, message: own = 'not allowed' } = error;
    const keys = instancePath.split('/').slice(1).map(unescapePointer);
    const message = keyword === 'not' ? ((schema as Schema).description ?? own) : own;
    this.#loc.push(...keys);
    this.#add(valueErrorOf(message), valueAt(value, keys) ?? null);
    this.#loc.length -= keys.length;
  }

  #checkShape({ schema, types, expected }: Shape, value: Sent, isText: boolean): void {
    const parsed = isText && expected === 'integer' ? (integerOf(String(value)) ?? value) : value;
    if (schema.enum && !isOneOf(schema.enum, parsed)) {
      return void this.#add(enumError(schema.enum), value);
    }
    if (expected !== undefined && !types.some((type) => isOfType(type, parsed))) {
      return void this.#add(typeError(schema, expected, value, isText), value);
    }
    if (Array.isArray(parsed)) return void this.#checkItems(schema, parsed, isText);
    if (parsed instanceof Map) return void this.#checkMembers(schema, parsed);
    const error = boundError(schema, parsed);
    if (error) this.#add(error, value);
  }

  #checkItems({ minItems = 0, maxItems, items }: Schema, value: Sent[], isText: boolean): void {
    const { length } = value;
    if (maxItems !== undefined && length > maxItems) {
      return void this.#add(listLengthError('maxItems', maxItems, length), value);
    }
    const before = this.#count;
    const shape = items && shapeOf(this.#contract, items);
    if (shape) for (const [index, item] of value.entries()) this.#within(index, () => this.#check(shape, item, isText));
    if (this.#count === before && length < minItems) this.#add(listLengthError('minItems', minItems, length), value);
  }

  #checkMembers(schema: Schema, value: SentObject): void {
    const { properties = {}, required = [], additionalProperties } = schema;
    for (const [name, property] of Object.entries(properties)) {
      const member = value.get(name);
      if (member !== undefined) this.#within(name, () => this.#check(shapeOf(this.#contract, property), member, false));
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

  #within(part: string | number, check: () => void): void {
    this.#loc.push(part);
    check();
    this.#loc.pop();
  }

  #add({ type, msg, ctx }: PydanticError, value: Sent): void {
    if (this.problems.length >= maxProblems) this.unlisted++;
    else this.problems.push({ type, loc: [...this.#loc], msg, input: value, ...(ctx && { ctx }) });
  }
}

function isOneOf(allowed: unknown[], value: Sent): boolean {
  const plain = plainValue(value);
  if (!Array.isArray(value) && !(value instanceof Map)) return allowed.includes(plain);
  return allowed.some((one) => JSON.stringify(one) === JSON.stringify(plain));
}
