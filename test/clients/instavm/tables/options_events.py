"""Options of the methods about events and webhooks, each of which must have its effect."""

from instavm import webhooks as signatures

from calls import has, holds, same, until, works


def events(f, **filters) -> list[dict]:
    return f.client.audit.events(limit=100, **filters)['items']


@works('option', 'W7 audit.events(vm_id=)')
def _(f):
    same(events(f, vm_id='nobody'), [], 'events of no sandbox')
    same({event['vm_id'] for event in events(f, vm_id=f.vm)}, {f.vm}, 'the sandboxes')


@works('option', 'W7 audit.events(session_id=)')
def _(f):
    same(events(f, session_id='nobody'), [], 'events of no session')
    same({event['session_id'] for event in events(f, session_id=f.session)}, {f.session}, 'the sessions')


@works('option', 'W7 audit.events(event_type=)')
def _(f):
    same(events(f, event_type='nothing.happened'), [], 'events of no type')
    same({event['event_type'] for event in events(f, event_type='vm.created')}, {'vm.created'}, 'the types')


@works('option', 'W7 audit.events(event_group=)')
def _(f):
    same(events(f, event_group='nothing'), [], 'events of no group')
    same({event['event_group'] for event in events(f, event_group='api_key')}, {'api_key'}, 'the groups')


@works('option', 'W7 audit.events(user_id=)')
def _(f):
    same(events(f, user_id=999_999_999), [], "somebody else's events")
    holds(events(f, user_id=f.client.get_current_user()['id']), "the caller's own events are not shown")


@works('option', 'W7 audit.events(status=)')
def _(f):
    same(events(f, status='failure'), [], 'events that failed')
    holds(events(f, status='success'), 'no events that succeeded')


@works('option', 'W6 events tail of several events, the newest last')
def _(f):
    vm = f.new_vm()
    f.client.vms.delete(vm)
    lines = f.cli(f'events tail --vm {vm} --once').succeeded().stdout.splitlines()
    holds(len(lines) == 2 and 'vm.created' in lines[0] and 'vm.killed' in lines[1], f'it prints {lines}')


@works('option', 'W17 webhooks.create_endpoint(timeout_seconds=, max_retries=)')
def _(f):
    endpoint = f.new_endpoint(timeout_seconds=5, max_retries=2)['id']
    read = f.client.webhooks.get_endpoint(endpoint)
    same((read['timeout_seconds'], read['max_retries']), (5, 2), 'what is read')


@works('option', 'W17 webhooks.update_endpoint(timeout_seconds=, max_retries=)')
def _(f):
    endpoint = f.new_endpoint()['id']
    f.client.webhooks.update_endpoint(endpoint, timeout_seconds=7, max_retries=3)
    read = f.client.webhooks.get_endpoint(endpoint)
    same((read['timeout_seconds'], read['max_retries']), (7, 3), 'what is read')


@works('option', 'W17 instavm webhooks create --timeout --max-retries')
def _(f):
    made = f.cli('webhooks create {f.receiver.url} --timeout 5 --max-retries 2 --json').json()
    same((made['timeout_seconds'], made['max_retries']), (5, 2), 'what is answered')


@works('option', 'W17 webhooks.list_deliveries(status=)')
def _(f):
    # It is noted a moment after the receiver has answered.
    def found(status):
        return [each['id'] for each in f.client.webhooks.list_deliveries(f.endpoint, status=status)['items']]

    until(lambda: f.delivery in found('delivered'), 'the delivery is not among those that were delivered')
    holds(f.delivery not in found('failed'), 'it is among those that failed')


@works('option', 'W16 a rotated secret signs the next delivery')
def _(f):
    endpoint = f.new_endpoint()
    secret = f.client.webhooks.rotate_secret(endpoint['id'])['secret']
    delivery = f.client.webhooks.send_test_event(endpoint['id'])['id']
    until(lambda: f.receiver.with_id(delivery), 'the test message has not come')
    has(signatures.verify(*f.receiver.with_id(delivery)[0], secret), 'event_type')
