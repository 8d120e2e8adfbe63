import type { Context } from '../../context.ts';
import { ValidationFailure, valueError } from '../../errors.ts';
import { AddressRefused, requireSendable } from './address.ts';

/** Throws ValidationFailure for a URL in a body to which webhooks are not sent. */
export function requireUrl({ config }: Pick<Context, 'config'>, url: string): void {
  try {
    requireSendable(url, config.webhookAllow ?? []);
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error;
    throw new ValidationFailure([valueError(['body', 'url'], error.message, url)]);
  }
}
