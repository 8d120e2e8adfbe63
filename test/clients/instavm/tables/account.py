"""The account: who calls, SSH keys, API keys, and credits, of which Sandpit has none: nothing is billed."""

from instavm import InstaVM

from calls import has, holds, same, works


@works('method', 'get_current_user')
def _(f):
    user = f.client.get_current_user()
    has(user, 'id', 'name')
    same(user['name'], 'alice', 'the name')
    holds({'email', 'is_verified'} <= set(user), f'without email and is_verified: {user}')


@works('method', 'add_ssh_key')
def _(f):
    text, fingerprint = f.public_key(1)
    key = f.client.add_ssh_key(text)
    # `instavm ssh-key remove` accepts only integers.
    same(type(key['id']), int, "the id's type")
    same((key['fingerprint'], key['comment']), (fingerprint, 'judge@example'), 'fingerprint and comment')


@works('method', 'list_ssh_keys')
def _(f):
    text, fingerprint = f.public_key(2)
    added = f.client.add_ssh_key(text)
    [listed] = [key for key in f.client.list_ssh_keys() if key['id'] == added['id']]
    same((listed['fingerprint'], listed['comment']), (fingerprint, 'judge@example'), 'the key')


@works('method', 'delete_ssh_key')
def _(f):
    added = f.client.add_ssh_key(f.public_key(3)[0])
    # The client parses the answer as JSON and fails on an empty one.
    f.client.delete_ssh_key(added['id'])
    same([key for key in f.client.list_ssh_keys() if key['id'] == added['id']], [], 'the key afterwards')


@works('method', 'api_keys.create')
def _(f):
    made = f.client.api_keys.create(description='judge')
    has(made, 'id', 'api_key')
    other = InstaVM(made['api_key'], base_url=f.url, auto_start_session=False)
    holds(f.vm in [vm['vm_id'] for vm in other.vms.list()], 'the key does not see the sandbox')


@works('method', 'api_keys.list')
def _(f):
    holds(f.api_key in [key['id'] for key in f.client.api_keys.list()], 'the key is not in it')


@works('method', 'api_keys.get')
def _(f):
    key = f.client.api_keys.get(f.api_key)
    same((key['id'], key['description']), (f.api_key, 'judged'), 'the key')
    holds('api_key' not in key, 'it shows the key itself')


@works('method', 'api_keys.update')
def _(f):
    key = f.client.api_keys.create(description='before')['id']
    f.client.api_keys.update(key, description='after')
    same(f.client.api_keys.get(key)['description'], 'after', 'the description afterwards')


@works('method', 'api_keys.delete')
def _(f):
    key = f.client.api_keys.create(description='revoked')['id']
    f.client.api_keys.delete(key)
    has(f.client.api_keys.get(key), 'revoked_at')


@works('method', 'credits.allocation')
def _(f):
    allocation = f.client.credits.allocation()
    has(allocation, 'id', 'allocation_period_start', 'allocation_period_end', 'dollars', 'browser_automation')
    same(allocation['browser_automation']['allocated'], 0, 'credits for browsers')


@works('method', 'credits.usage')
def _(f):
    same(f.client.credits.usage(), [], 'credits that were used')


@works('method', 'credits.summary')
def _(f):
    summary = f.client.credits.summary(period='last_30_days')
    same(summary['period'], 'last_30_days', 'the period')
    same((summary['dollars']['used'], summary['browser_automation']['used']), (0, 0), 'what was used')


@works('method', 'credits.check')
def _(f):
    check = f.client.credits.check('browser_automation', 5)
    same((check['available'], check['required_credits']), (False, 5), 'credits for a browser')
    holds('not offer' in check['reason'], f'the reason does not say that browsers are not offered: {check["reason"]}')


@works('method', 'credits.rates')
def _(f):
    machines = f.client.credits.rates()['vm_execution']
    has(machines, 'rate_description')
    rates = (machines['cpu_rate_per_second_per_core'], machines['ram_rate_per_gib_per_second'])
    same(rates, (0, 0), 'what a machine costs')


@works('method', 'credits.usage_trends')
def _(f):
    trends = f.client.credits.usage_trends(period='7d', granularity='daily')
    same(len(trends['series']), 7, 'days')


@works('method', 'credits.usage_forecast')
def _(f):
    holds(isinstance(f.client.credits.usage_forecast(), dict), 'the forecast is no object')
