import type { components } from '../../../../spec/types.gen.ts';
import { credential, signOut } from '../session.ts';
import { type Answer, ApiError, callWith, type Options, send } from './call.ts';

export type Schemas = components['schemas'];
export type Sandbox = Schemas['VM'];
export type Event = Schemas['Event'];

/**
 * Calls the API as the signed-in user. An answer that the credential is not valid signs out, and
 * says so. Rejects with ApiError.
 */
export async function call<T>(method: string, path: string, options: Options = {}): Promise<Answer<T>> {
  return guarded(callWith<T>(credential(), method, path, options));
}

/** Like `call`, for answers that are no JSON. */
export function open(method: string, path: string, options: Options = {}): Promise<Response> {
  return guarded(send(credential(), method, path, options));
}

export async function get<T>(path: string, query: Options['query'] = {}): Promise<T> {
  return (await call<T>('GET', path, { query })).body;
}

export async function post<T>(path: string, json: unknown = undefined): Promise<T> {
  return (await call<T>('POST', path, { json })).body;
}

async function guarded<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401)
      signOut('You were signed out: the API key was revoked, or the sign-in has expired.');
    throw error;
  }
}
