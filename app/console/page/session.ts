import { useEffect, useState } from 'preact/hooks';
import { ApiError, type Credential, callWith } from './api/call.ts';

/** Where the credential is kept: for the browser's tab only, and only until it is closed. */
const place = 'sandpit.credential';
const changes = new EventTarget();
let farewell: string | null = null;

export function credential(): Credential | null {
  const kept = sessionStorage.getItem(place);
  return kept === null ? null : JSON.parse(kept);
}

/** Returns the credential, and why the last one was given up; both change what is drawn. */
export function useSession(): { credential: Credential | null; farewell: string | null } {
  const [current, setCurrent] = useState(credential);
  useEffect(() => {
    const look = () => setCurrent(credential());
    changes.addEventListener('change', look);
    return () => changes.removeEventListener('change', look);
  }, []);
  return { credential: current, farewell };
}

/** Signs in with an API key. Rejects with ApiError when the server does not accept it. */
export async function signInWithKey(secret: string): Promise<void> {
  const given: Credential = { kind: 'key', secret: secret.trim() };
  await callWith(given, 'GET', 'v1/users/me');
  keep(given);
}

/** Signs in with a user's name and password. Rejects with ApiError when they are wrong. */
export async function signInWithPassword(username: string, password: string): Promise<void> {
  const form = new URLSearchParams({ grant_type: 'password', username, password });
  const { body } = await callWith<{ access_token: string }>(null, 'POST', 'v1/auth/token', { form });
  keep({ kind: 'token', secret: body.access_token });
}

/**
 * Signs in by the link that the server printed, if the address has one, and removes it from the
 * address and the history. Returns why that failed, or null.
 */
export async function signInByLink(): Promise<string | null> {
  const [, token] = /^#link=([\w-]+)$/.exec(location.hash) ?? [];
  if (token === undefined) return null;
  history.replaceState(null, '', location.pathname);
  try {
    const { body } = await callWith<{ access_token: string }>(null, 'POST', 'v1/auth/link', { json: { token } });
    keep({ kind: 'token', secret: body.access_token });
    return null;
  } catch (error) {
    return error instanceof ApiError ? error.message : String(error);
  }
}

/** Forgets the credential. `reason` is shown where one signs in again. */
export function signOut(reason: string | null = null): void {
  sessionStorage.removeItem(place);
  farewell = reason;
  changes.dispatchEvent(new Event('change'));
}

function keep(given: Credential): void {
  sessionStorage.setItem(place, JSON.stringify(given));
  farewell = null;
  changes.dispatchEvent(new Event('change'));
}
