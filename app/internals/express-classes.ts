import { IncomingMessage, ServerResponse } from 'node:http';
import type { Express } from 'express';

/**
 * Returns classes for the options of node:http's server. Its requests and responses then have
 * Express's prototypes from the start. Otherwise Express changes the prototype of each, which makes
 * V8 give up its optimizations for that object.
 */
export function expressClasses(app: Express): {
  IncomingMessage: typeof IncomingMessage;
  ServerResponse: typeof ServerResponse;
} {
  return {
    IncomingMessage: withPrototype(IncomingMessage, app.request),
    ServerResponse: withPrototype(ServerResponse, app.response),
  };
}

function withPrototype<Class extends new (...args: never[]) => object>(base: Class, prototype: object): Class {
  function Derived(...args: never[]): object {
    return Reflect.construct(base, args, Derived);
  }
  Derived.prototype = prototype;
  return Derived as unknown as Class;
}
