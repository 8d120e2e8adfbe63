import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { type Contract, resolve, type Schema, withoutReferences } from '../../../spec/load.ts';
import { dateTimeFormat } from '../../../spec/time.ts';
import { datetimeFormat } from '../pydantic/datetime.ts';

/**
 * A schema prepared for ProblemList: references resolved, and null taken out of its alternatives.
 */
export type Shape = {
  schema: Schema;
  types: string[];
  /** The type that an error asks for. */
  expected: string | undefined;
  /** Checks the keywords that ProblemList does not. Null if the schema has none. */
  checkRest: ((value: unknown) => ErrorObject | null) | null;
};

const shapes = new WeakMap<Schema, Shape>();

/** Returns the shape of a schema. It is prepared once. */
export function shapeOf(contract: Contract, schema: Schema): Shape {
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
    checkRest: checkOfRest(contract, whole),
  };
  shapes.set(schema, shape);
  return shape;
}

/** Keywords that ProblemList checks, and those that check nothing. */
const handled = new Set(
  (
    'type enum properties required additionalProperties items minimum maximum minLength maxLength minItems ' +
    'maxItems pattern title description default examples example allowEmptyValue'
  ).split(' '),
);

/** Returns a check of the schema's other keywords by ajv, compiled at its first use. */
function checkOfRest(contract: Contract, schema: Schema): Shape['checkRest'] {
  const rest = Object.entries(schema).filter(([keyword]) => !handled.has(keyword) && !keyword.startsWith('x-'));
  if (rest.length === 0) return null;
  let validate: ValidateFunction | undefined;
  return (value) => {
    validate ??= sharedAjv().compile(withoutReferences(contract, Object.fromEntries(rest)) as Schema);
    return validate(value) ? null : (validate.errors?.[0] ?? null);
  };
}

let ajv: Ajv2020 | undefined;

function sharedAjv(): Ajv2020 {
  if (ajv) return ajv;
  ajv = new Ajv2020({ strict: false, verbose: true });
  addFormats.default(ajv, { mode: 'fast' });
  ajv.addFormat('date-time', dateTimeFormat);
  ajv.addFormat('pydantic-datetime', datetimeFormat);
  return ajv;
}
