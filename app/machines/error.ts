/**
 * - `unavailable`: the engine does not answer.
 * - `full`: the engine has no room for another machine.
 * - `no_image`: the engine does not have the image.
 * - `timeout`: the engine or the agent took too long.
 * - `unsupported`: the driver can't do this.
 * - `gone`: the machine does not exist or has stopped.
 * - `failed`: anything else; the message says what.
 */
export type MachineErrorCode = 'unavailable' | 'full' | 'no_image' | 'timeout' | 'unsupported' | 'gone' | 'failed';

/** The HTTP status that answers a failure. */
export const statusOfMachine: Record<MachineErrorCode, number> = {
  unavailable: 503,
  full: 503,
  no_image: 404,
  timeout: 504,
  unsupported: 501,
  gone: 502,
  failed: 500,
};

/** A failure of a machine, its engine or its agent. `message` may be shown to users. */
export class MachineError extends Error {
  override name = 'MachineError';
  readonly code: MachineErrorCode;

  constructor(code: MachineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
