import loading from 'express-openapi-validator/dist/framework/index.js';
import framework from 'express-openapi-validator/dist/framework/openapi.schema.validator.js';

const { OpenAPISchemaValidator } = framework;
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

/**
 * Keeps express-openapi-validator from compiling the schema of OpenAPI documents at every start,
 * which it does even with `validateApiSpec: false`, and from looking for references in ours, which
 * has none. A test checks our document instead.
 */
export function deferSpecCheck(): void {
  framework.OpenAPISchemaValidator = LazySchemaValidator as never;
  Object.assign(loading.OpenAPIFramework.prototype, { loadSpec: async (document: object) => document });
}
