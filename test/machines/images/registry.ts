import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Driver, PullProgress } from '../../../app/machines/driver.ts';
import { MachineError } from '../../../app/machines/error.ts';

/** A pull that a test lets go on, succeed or fail. */
type Pull = { image: string; progress: PullProgress; succeed: () => void; fail: (error: Error) => void };

/** The images of an engine, and the pulls that were asked of it. */
export class FakeRegistry {
  readonly images = new Set<string>();
  readonly pulls: Pull[] = [];
  /** How often `image` was called. */
  asked = 0;
  isAway = false;

  readonly image: Driver['image'] = async (reference) => {
    this.asked++;
    if (this.isAway) throw new MachineError('unavailable', 'the engine does not answer');
    return this.images.has(reference) ? { id: `sha256:${reference}`, sizeBytes: 1 } : null;
  };

  readonly pull: Driver['pull'] = (image, progress, signal) =>
    new Promise((resolve, reject) => {
      const succeed = () => {
        this.images.add(image);
        resolve();
      };
      signal.addEventListener('abort', () => reject(signal.reason));
      this.pulls.push({ image, progress, succeed, fail: reject });
    });

  /** Waits for the pull of this number, counted from 0. */
  async pullOf(number: number): Promise<Pull> {
    await until(() => this.pulls.length > number);
    return this.pulls[number] as Pull;
  }

  /** Returns the driver with these images instead of its own. */
  inFrontOf(driver: Driver): Driver {
    const own: Partial<Driver> = { image: this.image, pull: this.pull };
    return new Proxy(driver, {
      get: (target, name: keyof Driver) => {
        const value = own[name] ?? target[name];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }
}

/** Waits until a condition holds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await holds()); await nextTurn()) {
    if (Date.now() > end) throw new Error(`this did not come true: ${holds}`);
  }
}
