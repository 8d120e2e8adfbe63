import { ArgumentWriter } from '../../../../app/machines/agent/values.ts';

type Random = () => number;

const paths = [
  '',
  '~',
  'a',
  'a/b',
  '~/a/b/c',
  'a/../b',
  'link',
  'a/'.repeat(1500),
  '/proc/self/stat',
  '/dev/null',
  '.',
];
const words = ['', 'user', 'root', 'nobody', 'x'.repeat(3000), 'tag', '\u00e9', '-1'];
const commands = [
  ['/bin/echo', 'hello'],
  ['/bin/sh', '-c', 'cat'],
  ['/bin/sh', '-c', 'yes | head -c 500000; exit 3'],
  ['/bin/sh', '-c', 'sleep 0.2 & echo left >&2'],
  ['/bin/sh', '-c', 'touch a/new; mkdir -p a/b/c; rm -r a/b; ln -sf a link'],
  ['nothing'],
];

const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
const upTo = (random: Random, most: number) => Math.floor(random() * (most + 1));

/** Returns the arguments of an operation as a careful client would send them. */
function careful(random: Random, operation: number, openPort: number): ArgumentWriter {
  const args = new ArgumentWriter().u8(operation);
  const process = () => args.u32(pick(random, [0, 1, upTo(random, 70_000)])).string(pick(random, words));
  const file = () => args.string(pick(random, ['', 'user', 'root', 'nobody'])).string(pick(random, paths));
  if (operation === 1)
    return file()
      .strings(pick(random, commands))
      .strings(['A=1', 'B', pick(random, words)])
      .u8(upTo(random, 3))
      .u16(upTo(random, 300))
      .u16(upTo(random, 300))
      .u32(pick(random, [0, 1, 300]))
      .string(pick(random, words));
  if ([2, 7].includes(operation)) return process();
  if (operation === 4) return process().u8(pick(random, [0, 1, 9, 15, 28, 200]));
  if (operation === 5) return process().u16(upTo(random, 300)).u16(upTo(random, 300));
  if (operation === 6) return process().u8(upTo(random, 3));
  if (operation === 17) return file().u32(pick(random, [0, 1, 5, 2 ** 32 - 1]));
  if (operation === 19) return file().string(pick(random, paths));
  if (operation === 21) return file().u64(upTo(random, 1e6)).u64(upTo(random, 1e6));
  if (operation === 22) return file().pairs({ [pick(random, words)]: pick(random, words) });
  if (operation === 27) return rules(random, args);
  if (operation === 23) return file().u8(upTo(random, 2));
  if (operation === 26) return args.u16(pick(random, [0, 1, openPort, openPort]));
  return [16, 18, 20].includes(operation) ? file() : args;
}

function rules(random: Random, args: ArgumentWriter): ArgumentWriter {
  const count = upTo(random, pick(random, [3, 1024]));
  const servers = pick(random, [[], ['10.0.0.1'], ['8.8.8.8', 'x'.repeat(300)]]);
  args.u8(upTo(random, 1)).u8(upTo(random, 1)).strings(servers).u32(count);
  for (let n = 0; n < count; n++) {
    const kind = pick(random, [1, 4, 6]);
    args.u8(pick(random, [1, 2])).u8(kind);
    for (let bytes = { 1: 0, 4: 4, 6: 16 }[kind] as number; bytes > 0; bytes--) args.u8(upTo(random, 255));
    if (kind > 1) args.u8(upTo(random, kind === 4 ? 33 : 129));
    args.u16(pick(random, [0, 53]));
  }
  return args;
}

/** Damages bytes: changes some, or cuts or repeats the end. */
function damage(random: Random, bytes: Buffer): Buffer {
  const damaged = Buffer.from(bytes);
  for (let n = upTo(random, 3); n > 0 && damaged.length > 0; n--)
    damaged[upTo(random, damaged.length - 1)] = pick(random, [0, 1, 0x7f, 0x80, 0xff, upTo(random, 255)]);
  const end = upTo(random, damaged.length);
  return pick(random, [damaged, damaged.subarray(0, end), Buffer.concat([damaged, damaged.subarray(end)])]);
}

const frame = (call: number, type: number, payload: Buffer, length = payload.length): Buffer => {
  const header = Buffer.alloc(9);
  header.writeUInt32LE(call, 0);
  header.writeUInt8(type, 4);
  header.writeUInt32LE(length, 5);
  return Buffer.concat([header, payload]);
};

const operations = [
  1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 19, 20, 21, 22, 22, 23, 24, 25, 26, 26, 27, 27, 0, 9, 255,
];

/**
 * Yields what one connection sends: valid frames, damaged ones, few that break the rules. A program
 * listens at `openPort`.
 */
export function* traffic(random: Random, openPort: number): Generator<Buffer> {
  let call = 0;
  for (let left = upTo(random, 120); left > 0; left--) {
    const some = upTo(random, call);
    const args = careful(random, pick(random, operations), openPort).bytes();
    const kind = random();
    if (kind < 0.35) yield frame(++call, 2, args);
    else if (kind < 0.55) yield frame(++call, 2, damage(random, args));
    else if (kind < 0.7) yield frame(some, 3, Buffer.alloc(upTo(random, pick(random, [0, 10, 65_536])), 'data'));
    else if (kind < 0.8) yield frame(some, 5, Buffer.alloc(0));
    else if (kind < 0.88) yield frame(some, 7, Buffer.alloc(0));
    else if (kind < 0.97) yield frame(some, 6, pick(random, [Buffer.alloc(4, 255), Buffer.from([0, 1, 0, 0])]));
    else if (kind < 0.98) yield frame(some, 2, Buffer.alloc(1 << 20, 1));
    else if (kind < 0.99) yield damage(random, frame(++call, upTo(random, 12), args));
    else yield frame(++call, 2, args, upTo(random, 2 ** 32 - 1));
  }
}
