/**
 * All kinds of events. Names that begin with `vm.` and `snapshot.` are InstaVM's; the others are
 * ours.
 */
export const eventKinds = {
  'vm.created': 'A sandbox was started, or forked: then `details.forked_from` says from which.',
  'vm.updated': '`details.changed` says what changed of a sandbox: `metadata`, `end_at` or `settings`.',
  'vm.suspended': 'A sandbox was paused by a request.',
  'vm.auto_suspended': 'A sandbox was paused because its end came.',
  'vm.resumed': 'A paused sandbox began a new run.',
  'vm.killed': 'A sandbox was ended by a request.',
  'vm.expired': 'A sandbox was ended because its end came.',
  'vm.deleted': 'The record of a sandbox that had ended long ago was deleted.',
  'vm.imported': 'Sandboxes were imported: `details.count` of them, which have no events of their own.',
  'snapshot.created': 'A snapshot was taken, or made from an image.',
  'snapshot.updated': 'A snapshot was taken anew under its name.',
  'snapshot.deleted': 'A snapshot was deleted.',
  'api_key.created': 'An API key was made.',
  'api_key.updated': 'An API key was described anew.',
  'api_key.revoked': 'An API key was revoked.',
  'webhook.created': 'A webhook endpoint was added.',
  'webhook.updated': 'A webhook endpoint was changed.',
  'webhook.secret_rotated': 'A webhook endpoint got another secret.',
  'webhook.disabled':
    'A webhook endpoint was disabled: `details.reason` is `gone` (its receiver answered 410) or `failing` (nothing but failures for five days, since `details.failing_since`).',
  'webhook.deleted': 'A webhook endpoint was deleted.',
  'access_token.created': 'A name and password were exchanged for an access token.',
  'user.created': 'The user was added.',
  'user.password_changed': "The user's password was set, which ended their access tokens.",
};

export type EventKind = keyof typeof eventKinds;

/**
 * Returns whether a pattern matches a kind: `*` matches all, `vm.*` those that begin with `vm.`.
 */
export function matchesKind(pattern: string, kind: string): boolean {
  return pattern.endsWith('*') ? kind.startsWith(pattern.slice(0, -1)) : pattern === kind;
}
