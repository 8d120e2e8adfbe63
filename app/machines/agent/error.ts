export type AgentErrorCode =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'unauthenticated'
  | 'resource_exhausted'
  | 'failed_precondition'
  | 'internal'
  | 'unimplemented'
  | 'permission_denied';

/**
 * A refusal by the agent, under Connect's name. `message` comes from the machine: it is untrusted.
 */
export class AgentError extends Error {
  override name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
