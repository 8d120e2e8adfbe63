"""Commands about the account: who calls, SSH keys, usage and credits."""

from calls import holds, same, works


@works('command', 'whoami')
def _(f):
    key = f.client.add_ssh_key(f.public_key(4)[0])
    f.cli('whoami').prints('alice', key['fingerprint'])


@works('command', 'login')
def _(f):
    # With a key the command says who is logged in; options_refusals.py has it without one.
    f.cli('login').prints('Already logged in')


@works('command', 'ssh-key list')
def _(f):
    text, fingerprint = f.public_key(5)
    f.client.add_ssh_key(text)
    f.cli('ssh-key list').prints(fingerprint)


@works('command', 'ssh-key add')
def _(f):
    text, fingerprint = f.public_key(6)
    f.cli('ssh-key add', stdin=text).prints(f'Added {fingerprint}')
    holds(fingerprint in [key['fingerprint'] for key in f.client.list_ssh_keys()], 'the key is not there')


@works('command', 'ssh-key remove')
def _(f):
    key = f.client.add_ssh_key(f.public_key(7)[0])
    f.cli(f'ssh-key remove {key["id"]}').succeeded()
    holds(key['id'] not in [each['id'] for each in f.client.list_ssh_keys()], 'the key is there afterwards')


@works('command', 'billing usage')
def _(f):
    f.cli('billing usage --days 7').prints('Days: 7', 'CPU hours:', 'Total cost: $0.0000', 'DATE')


@works('command', 'billing status')
def _(f):
    f.cli('billing status --period last_30_days').prints('Period: last_30_days', 'Used:      $0.0000')


@works('command', 'billing allocation')
def _(f):
    f.cli('billing allocation').prints('Allocation: ', 'Period start: ', 'Used:      $0.0000')


@works('command', 'billing usage-history')
def _(f):
    f.cli('billing usage-history').prints('No credit usage in this period.')


@works('command', 'billing check')
def _(f):
    line = 'billing check --usage-type browser_automation --required-credits 5'
    f.cli(line).prints('Available: no', 'Required:  5', 'not offer')


@works('command', 'billing rates')
def _(f):
    f.cli('billing rates').prints('CPU rate:  0', 'RAM rate:  0')


@works('command', 'billing trends')
def _(f):
    f.cli('billing trends --period 7d --granularity daily').prints('7 buckets')


@works('command', 'billing forecast')
def _(f):
    same(type(f.cli('billing forecast --json').json()), dict, 'the forecast')
