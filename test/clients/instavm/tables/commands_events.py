"""Commands about events and webhooks."""

import time

from requests import HTTPError

from instavm import webhooks as signatures

from calls import holds, local, raises, same, until, works


@works('command', 'events tail')
def _(f):
    vm = f.new_vm()
    shown = f.cli(f'events tail --vm {vm} --once').prints('success', 'vm.created', f'vm={vm}').stdout
    same(len(shown.splitlines()), 1, 'lines')
    f.cli('events tail --event vm.killed --vm {f.vm} --once').prints('(no events)')
    since = f.cli(f'events tail --since 1h --group vm --vm {vm} --once').prints('vm.created').stdout
    holds(since.startswith(time.strftime('20%y-', time.gmtime())), f'a line has no time: {since}')


@works('command', 'events get')
def _(f):
    event = f.client.audit.get_event(f.event)
    wanted = ['Payload:'] if event.get('event_payload') else []
    f.cli('events get {f.event}').prints('success', event.get('event_type') or 'event_type', *wanted)


@works('command', 'events catalog')
def _(f):
    f.cli('events catalog').prints('vm:', '  vm.created')


@works('command', 'webhooks create')
def _(f):
    f.cli('webhooks create {f.receiver.url} --event vm.*').prints('ID: ', 'Status: active', 'Signing secret: whsec_')


@works('command', 'webhooks list')
def _(f):
    f.cli('webhooks list').prints(f.endpoint, 'active', f.receiver.url)


@works('command', 'webhooks get')
def _(f):
    f.cli('webhooks get {f.endpoint}').prints(f'ID: {f.endpoint}', 'Status: active', 'Secret hint: ', 'Created: ')


@works('command', 'webhooks update')
def _(f):
    endpoint = f.new_endpoint()['id']
    f.cli(f'webhooks update {endpoint} --description changed --disable').prints('changed', 'Status: disabled')


@works('command', 'webhooks delete')
def _(f):
    endpoint = f.new_endpoint()['id']
    f.cli(f'webhooks delete {endpoint}').prints(f'Deleted webhook endpoint {endpoint}')
    raises(HTTPError, lambda: f.client.webhooks.get_endpoint(endpoint), 'reading it afterwards')


@works('command', 'webhooks verify')
def _(f):
    f.cli('webhooks verify {f.endpoint}').prints(f'Endpoint {f.endpoint}: ')


@works('command', 'webhooks rotate-secret')
def _(f):
    endpoint = f.new_endpoint()['id']
    f.cli(f'webhooks rotate-secret {endpoint}').prints('New signing secret: whsec_')


@works('command', 'webhooks test')
def _(f):
    endpoint = f.new_endpoint()['id']
    delivery = f.cli(f'webhooks test {endpoint} --json').json()['id']
    until(lambda: f.receiver.with_id(delivery), 'the test message has not come')


@works('command', 'webhooks deliveries')
def _(f):
    f.cli('webhooks deliveries --endpoint {f.endpoint} --event-type webhook.test').prints(f.delivery, 'webhook.test')


@works('command', 'webhooks replay')
def _(f):
    f.cli(f'webhooks replay {f.delivery}').prints(f'Replay enqueued for delivery {f.delivery}')


@local('command', 'webhooks verify-signature')
def _(f):
    now = int(time.time())
    signature = signatures.compute_signature('whsec_x', now, b'{"event_type":"vm.created"}')
    line = 'webhooks verify-signature --secret whsec_x --header'.split()
    ran = f.run([*line, f'InstaVM-Signature: t={now},v1={signature}', '--body', '{"event_type":"vm.created"}'])
    ran.prints('ok', 'vm.created')
