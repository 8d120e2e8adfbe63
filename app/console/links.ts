import { createHash, randomBytes } from 'node:crypto';

/** How long a link works. */
const lifetimeMilliseconds = 600_000;
/** The oldest link is given up for one more. */
const mostLinks = 16;

type Link<User> = { user: User; expiresAt: number };

/**
 * Links that sign a user in to the console, once. They are kept in memory only, as hashes, so that
 * none survives the server.
 */
export class SignInLinks<User> {
  readonly #now: () => number;
  readonly #links = new Map<string, Link<User>>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns the token of a new link for a user. */
  create(user: User): string {
    const token = randomBytes(24).toString('base64url');
    this.#links.set(hashOf(token), { user, expiresAt: this.#now() + lifetimeMilliseconds });
    const [oldest] = this.#links.keys();
    if (this.#links.size > mostLinks && oldest !== undefined) this.#links.delete(oldest);
    return token;
  }

  /**
   * Does the work for a link's user, and uses the link up unless the work fails. Returns null for a
   * link that was used, is old or unknown.
   */
  async redeem<T>(token: string, work: (user: User) => Promise<T>): Promise<T | null> {
    const hash = hashOf(token);
    const link = this.#links.get(hash);
    // At once, so that a second request meanwhile finds nothing.
    this.#links.delete(hash);
    if (!link || link.expiresAt <= this.#now()) return null;
    try {
      return await work(link.user);
    } catch (error) {
      this.#links.set(hash, link);
      throw error;
    }
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
