/**
 * All kinds of events. Names that begin with `vm.` and `snapshot.` are InstaVM's; the others are
 * ours.
 */
export const eventKinds = {
  'vm.create_failed':
    'A sandbox could not be started, although its machine was begun: `details.reason` says why, e.g. `timeout`, and `details.message` says it in words. If it was to be a fork, `details.forked_from` is its source. There is no sandbox with its id.',
  'vm.created':
    'A sandbox was started. If it is a fork, `details.forked_from` is its source; if it was started in an existing session, `details.session_id` is that session.',
  'vm.updated': 'A sandbox was changed: `details.changed` lists what, such as `metadata`, `end_at` or `settings`.',
  'vm.suspended': 'A sandbox was paused by a request.',
  'vm.auto_suspended': 'A sandbox was paused because its end came.',
  'vm.resumed': 'A paused sandbox was resumed, which starts a new run.',
  'vm.killed': 'A sandbox was ended by a request.',
  'vm.died':
    'A sandbox ended because its machine is gone: `details.reason` is `machine_missing`, `machine_died` or `out_of_memory`.',
  'vm.expired': 'A sandbox was ended because its end came.',
  'vm.deleted': 'The record of a sandbox was deleted, because it ended longer ago than records are kept.',
  'vm.imported': '`details.count` sandboxes were imported. They have no further events for the import.',
  'snapshot.created': 'A snapshot was taken of a sandbox, or made from an image.',
  'snapshot.updated':
    'A snapshot was replaced by a later one of the same name, or its tags were changed: then `details.changed` is `tags`.',
  'snapshot.deleted': 'A snapshot was deleted.',
  'template.published': "A template of InstaVM's devboxes was published, or replaced by another version.",
  'template.deleted': 'A template was deleted together with its snapshot.',
  'api_key.created': 'An API key was created.',
  'api_key.updated': 'The description of an API key was changed.',
  'api_key.revoked': 'An API key was revoked.',
  'ssh_key.created': 'An SSH public key was added.',
  'ssh_key.updated': 'The comment of an SSH public key was changed.',
  'ssh_key.deleted': 'An SSH public key was deleted.',
  'webhook.created': 'A webhook endpoint was added.',
  'webhook.updated': 'A webhook endpoint was changed.',
  'webhook.secret_rotated': 'A webhook endpoint got a new secret.',
  'webhook.disabled':
    'A webhook endpoint was disabled: `details.reason` is `gone` (its receiver answered 410) or `failing` (every attempt has failed for five days, since `details.failing_since`).',
  'webhook.deleted': 'A webhook endpoint was deleted.',
  'access_token.created': 'A name and password were exchanged for an access token.',
  'user.created': 'The user was added.',
  'user.password_changed': "The user's password was set, which ended their access tokens.",
};

export type EventKind = keyof typeof eventKinds;

/** Returns whether events of this kind report an action that failed. */
export function isFailure(kind: string): boolean {
  return kind === ('vm.create_failed' satisfies EventKind);
}

/**
 * Returns whether a pattern matches a kind: `*` matches all, `vm.*` those that begin with `vm.`.
 */
export function matchesKind(pattern: string, kind: string): boolean {
  return pattern.endsWith('*') ? kind.startsWith(pattern.slice(0, -1)) : pattern === kind;
}
