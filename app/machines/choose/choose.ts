import type { InUse } from '../../../db/machines/in-use.ts';
import type { Config } from '../../config/settings.ts';
import type { Driver } from '../driver.ts';

/** A driver that may be chosen without a setting, and why it can't be, in words; null: it can. */
export type Candidate = { driver: 'microvm' | 'docker'; whyNot: () => Promise<string | null> };

/** What runs machines, and why. */
export type Choice = {
  /** null: nothing, there are records only */
  driver: Driver['name'] | null;
  /**
   * `setting`; `machines`: there are some, or snapshots, of this driver; `records`: there are
   * sandboxes without machines, which a driver would end; `found`: it is the best that works here.
   */
  because: 'setting' | 'machines' | 'records' | 'found';
  /** the candidates that are better than the chosen one, and why they were not chosen */
  passedOver: { driver: Candidate['driver']; why: string }[];
  /** machines that this server neither uses nor removes, by driver */
  leftAlone: { driver: string; machines: number }[];
};

/**
 * Chooses what runs machines. A driver that the setting names is taken as it is. `auto` keeps what
 * the database needs, also if it does not answer now; else it takes the first candidate that works.
 */
export async function choose(setting: Config['machines'], inUse: InUse, candidates: Candidate[]): Promise<Choice> {
  const chosen = setting === 'auto' ? await findBest(inUse, candidates) : fromSetting(setting);
  const leftAlone = inUse.drivers.filter(({ driver, machines }) => driver !== chosen.driver && machines > 0);
  return { ...chosen, leftAlone };
}

type Chosen = Omit<Choice, 'leftAlone'>;

function fromSetting(setting: Exclude<Config['machines'], 'auto'>): Chosen {
  return { driver: setting === 'none' ? null : setting, because: 'setting', passedOver: [] };
}

async function findBest({ drivers, hasRecordsOnly }: InUse, candidates: Candidate[]): Promise<Chosen> {
  const kept = drivers.map(({ driver }) => candidates.find((each) => each.driver === driver)).find(Boolean);
  const passedOver: Chosen['passedOver'] = [];
  if (kept) return { driver: kept.driver, because: 'machines', passedOver };
  if (hasRecordsOnly) return { driver: null, because: 'records', passedOver };
  for (const { driver, whyNot } of candidates) {
    const why = await whyNot();
    if (why === null) return { driver, because: 'found', passedOver };
    passedOver.push({ driver, why });
  }
  return { driver: null, because: 'found', passedOver };
}
