import type { RequestHandler } from 'express';
import compiling from 'express-openapi-validator/dist/framework/ajv/index.js';
import loading from 'express-openapi-validator/dist/framework/index.js';
import framework from 'express-openapi-validator/dist/framework/openapi.schema.validator.js';
import reading from 'express-openapi-validator/dist/framework/openapi.spec.loader.js';
import preprocessing from 'express-openapi-validator/dist/middlewares/parsers/schema.preprocessor.js';
import validating, { type OpenApiValidatorOpts } from 'express-openapi-validator/dist/openapi.validator.js';
import type { Contract, Operation } from '../../spec/load.ts';

const { OpenAPISchemaValidator } = framework;
const { SchemaPreprocessor } = preprocessing;
type Options = ConstructorParameters<typeof OpenAPISchemaValidator>;
type Result = ReturnType<InstanceType<typeof OpenAPISchemaValidator>['validate']>;

/** Does what OpenAPISchemaValidator does, but compiles its schema at the first check. */
class LazySchemaValidator {
  readonly options: Options;

  constructor(...options: Options) {
    this.options = options;
  }

  validate(...document: Parameters<InstanceType<typeof OpenAPISchemaValidator>['validate']>): Result {
    return new OpenAPISchemaValidator(...this.options).validate(...document);
  }
}

/** Each takes the document, and then other arguments. */
type OfDocument = (this: unknown, document: never, ...rest: never[]) => unknown;

/** An operation as the library's validators of requests and of responses read it. */
export type ReadOperation = { schema: Operation; responseSchema: Operation | undefined };

export type LeanValidator = {
  handlers: RequestHandler[];
  /** Prepares an operation without references for the validators, and changes it. */
  prepare: (operation: Operation) => ReadOperation;
};

let isLean = false;

/**
 * Returns the handlers that express-openapi-validator makes of a document, and changes the
 * document. It needs no more than the routes: what the handlers read else of an operation is given
 * to them at its first request. With the whole document at hand, the library reads all of it
 * several times at the start, and twice more at the first request for each operation.
 */
export function leanValidator(routes: Contract, given: Omit<OpenApiValidatorOpts, 'apiSpec'>): LeanValidator {
  if (!isLean) makeLean();
  isLean = true;
  const apiSpec = routes as never;
  const spec = new reading.OpenApiSpecLoader({ apiDoc: apiSpec, validateApiSpec: false } as never).load();
  const validator = new validating.OpenApiValidator({ ...given, apiSpec, validateApiSpec: false });
  const handlers = validator.installMiddleware(spec) as RequestHandler[];
  const { ajvOpts, options } = validator;
  return {
    handlers,
    prepare: (operation) => {
      const document = { openapi: routes.openapi, paths: { '/': { get: operation } } } as never;
      const prepared = new SchemaPreprocessor(document, ajvOpts.preprocessor, options.validateResponses as never);
      const { apiDoc, apiDocRes } = prepared.preProcess();
      return { schema: onlyOperation(apiDoc), responseSchema: apiDocRes ? onlyOperation(apiDocRes) : undefined };
    },
  };
}

function onlyOperation(document: unknown): Operation {
  return (document as { paths: { '/': { get: Operation } } }).paths['/'].get;
}

/**
 * The library would compile the schema of OpenAPI documents even with `validateApiSpec: false`. A
 * test checks ours.
 */
function makeLean(): void {
  framework.OpenAPISchemaValidator = LazySchemaValidator as never;
  Object.assign(loading.OpenAPIFramework.prototype, { loadSpec: async (document: object) => document });
  withBareDocument(compiling, 'createRequestAjv', 'createResponseAjv');
  const { prototype } = validating.OpenApiValidator;
  withBareDocument(prototype, 'requestValidationMiddleware', 'responseValidationMiddleware');
}

/** Makes functions of an object get a document without its paths. */
function withBareDocument(holder: object, ...names: string[]): void {
  const functions = holder as Record<string, OfDocument>;
  for (const name of names) {
    const original = functions[name] as OfDocument;
    functions[name] = function (document, ...rest) {
      return original.call(this, bare(document) as never, ...rest);
    };
  }
}

function bare({
  openapi,
  security,
  components,
}: Contract & { openapi: string; security?: unknown; components?: object }) {
  const { securitySchemes } = (components ?? {}) as { securitySchemes?: unknown };
  return { openapi, security, paths: {}, components: { securitySchemes } };
}
