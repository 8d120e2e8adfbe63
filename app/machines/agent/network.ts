import type { Policy, Step } from '../network/compile.ts';
import type { Agent } from './agent.ts';
import { readNothing, request } from './requests.ts';
import { ArgumentWriter } from './values.ts';

const verdicts = { allow: 1, deny: 2 };
const kinds = { own: 1, ipv4: 4, ipv6: 6 };

/**
 * Makes the machine's kernel enforce a policy, in place of the one before. Resolves once it is in
 * force. Throws AgentError `unimplemented` where the kernel can't.
 */
export async function setPolicy(agent: Agent, policy: Policy, signal?: AbortSignal): Promise<void> {
  const { opensDns, nameServers, steps } = policy;
  const args = new ArgumentWriter().u8(opensDns ? 1 : 0).u8(nameServers === null ? 0 : 1);
  args.strings(nameServers ?? []).u32(steps.length);
  for (const step of steps) writeStep(args, step);
  await request(agent, 'network', args.bytes(), readNothing, signal);
}

function writeStep(args: ArgumentWriter, { verdict, to, port }: Step): void {
  args.u8(verdicts[verdict]).u8(to === 'own' ? kinds.own : kinds[to.address.kind()]);
  if (to !== 'own') {
    for (const byte of to.address.toByteArray()) args.u8(byte);
    args.u8(to.bits);
  }
  args.u16(port ?? 0);
}
