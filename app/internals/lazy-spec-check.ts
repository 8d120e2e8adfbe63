import framework from 'express-openapi-validator/dist/framework/openapi.schema.validator.js';

const { OpenAPISchemaValidator } = framework;
type Given = ConstructorParameters<typeof OpenAPISchemaValidator>;
type Checked = ReturnType<InstanceType<typeof OpenAPISchemaValidator>['validate']>;

/** Does what the original does, but prepares itself only when it is asked. */
class LazySchemaValidator {
  readonly given: Given;

  constructor(...given: Given) {
    this.given = given;
  }

  validate(...document: Parameters<InstanceType<typeof OpenAPISchemaValidator>['validate']>): Checked {
    return new OpenAPISchemaValidator(...this.given).validate(...document);
  }
}

/**
 * The validator compiles the schema of OpenAPI documents at every start, told to check ours or not: a tenth of a second,
 * more than all the rest of it takes. Ours is checked by a test.
 */
export function deferSpecCheck(): void {
  framework.OpenAPISchemaValidator = LazySchemaValidator as never;
}
