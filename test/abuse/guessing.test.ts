import { useTarget } from './helpers/target.ts';
import { abuse, counted } from './runner/record.ts';

const password = 'correct horse battery';

describe('abuse: guessing passwords', () => {
  const statuses = async (
    target: ReturnType<ReturnType<typeof useTarget>>,
    guesses: { name: string; word: string; from?: string }[],
  ) => {
    const answers = [];
    for (const { name, word, from } of guesses) {
      const headers = {
        'Content-Type': 'application/x-www-form-urlencoded',
        ...(from && { 'X-Forwarded-For': from, 'X-Real-IP': from, Forwarded: `for=${from}` }),
      };
      const body = String(new URLSearchParams({ username: name, password: target.secret(word) }));
      answers.push((await target.ask('POST', '/v1/auth/token', { headers, body })).status);
    }
    return counted(answers);
  };
  const guesses = (count: number, of: (n: number) => { name: string; word: string; from?: string }) =>
    Array.from({ length: count }, (_, n) => of(n));

  describe('from one address', () => {
    const target = useTarget('--login-attempts', '3');
    before(() => target().addUser('alice', password));
    abuse('guessing', 'nine names from one address that claims to be nine', '401 x 3, 429 x 6', () =>
      statuses(
        target(),
        guesses(9, (n) => ({ name: `name${n}`, word: `wrong guess ${n}`, from: `10.1.1.${n}` })),
      ),
    );
    abuse('guessing', 'the right password afterwards', '429', () =>
      statuses(target(), [{ name: 'alice', word: password }]),
    );
  });

  describe('from many addresses', () => {
    const target = useTarget('--login-attempts', '3', '--trust-proxy', 'loopback');
    before(() => target().addUser('alice', password));
    abuse('guessing', 'one name from nine addresses', '401 x 3, 429 x 6', () =>
      statuses(
        target(),
        guesses(9, (n) => ({ name: 'alice', word: `wrong guess ${n}`, from: `10.1.1.${n}` })),
      ),
    );
    abuse('guessing', 'nine names from one IPv6 network', '401 x 3, 429 x 6', () =>
      statuses(
        target(),
        guesses(9, (n) => ({ name: `name${n}`, word: `wrong guess ${n}`, from: `2001:db8::${n}` })),
      ),
    );
    abuse('guessing', 'addresses that a client put before its own', '401 x 3, 429', () =>
      statuses(
        target(),
        guesses(4, (n) => ({ name: `other${n}`, word: `wrong guess ${n}`, from: `1.2.3.${n}, 10.9.9.9` })),
      ),
    );
    abuse('guessing', 'forty names from forty addresses at once', 'some 401, some 503', async () => {
      const one = (n: number) =>
        statuses(target(), [{ name: `crowd${n}`, word: `wrong guess ${n}`, from: `10.8.${n}.1` }]);
      const answers = new Set(await Promise.all(Array.from({ length: 40 }, (_, n) => one(n))));
      return [...answers]
        .sort()
        .map((status) => `some ${status}`)
        .join(', ');
    });
    abuse('guessing', 'thirty at once', '401 x 3, 429 x 27', async () => {
      const one = (n: number) => statuses(target(), [{ name: `once${n}`, word: `wrong guess ${n}`, from: '10.7.7.7' }]);
      return counted(await Promise.all(Array.from({ length: 30 }, (_, n) => one(n))));
    });
  });
});
