/** A request that is refused. The message is for the user. */
export class Refused extends Error {
  override name = 'Refused';
  /** whether no request of this kind is offered */
  readonly isUnsupported: boolean;

  constructor(message: string, { isUnsupported = false } = {}) {
    super(message);
    this.isUnsupported = isUnsupported;
  }
}
