import type { JsonObject } from '../../../db/json/json.ts';
import type { MachineSpec } from '../driver.ts';

/** Returns the network that a sandbox's settings give its machine. */
export function networkOf(settings: JsonObject | null | undefined): MachineSpec['network'] {
  return settings?.allowInternetAccess === false ? 'none' : 'open';
}
