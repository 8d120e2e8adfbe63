import { Refused } from './refused.ts';

/** How many things one client may have open at once. */
const most = 256;

/** What a client has open, by the handles that it got. */
export class Handles<Open> {
  readonly #open = new Map<number, Open>();
  #last = 0;

  /** Returns the handle. Throws Refused if there are too many. */
  add(open: Open): Buffer {
    if (this.#open.size >= most) throw new Refused(`${most} files are open already: close some first`);
    const handle = Buffer.alloc(4);
    // Numbers begin again after a very long time.
    this.#last = (this.#last + 1) >>> 0;
    handle.writeUInt32BE(this.#last);
    this.#open.set(this.#last, open);
    return handle;
  }

  /** Throws Refused for a handle that is not open. */
  get(handle: Buffer): Open {
    const found = handle.length === 4 ? this.#open.get(handle.readUInt32BE()) : undefined;
    if (found === undefined) throw new Refused('The handle is not open');
    return found;
  }

  remove(handle: Buffer): Open {
    const found = this.get(handle);
    this.#open.delete(handle.readUInt32BE());
    return found;
  }

  all(): Iterable<Open> {
    return this.#open.values();
  }
}
