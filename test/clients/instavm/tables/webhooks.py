"""`client.webhooks`, and what the receiver gets."""

from requests import HTTPError

from calls import has, holds, raises, same, until, works


@works('method', 'webhooks.create_endpoint')
def _(f):
    made = f.client.webhooks.create_endpoint(f.receiver.url, description='hook', event_patterns=['snapshot.*'])
    has(made, 'id', 'url', 'status', 'event_patterns', 'secret', 'secret_hint', 'created_at')
    same((made['description'], made['event_patterns']), ('hook', ['snapshot.*']), 'what is kept')
    snapshot = f.new_snapshot()
    f.receiver.wait_for(snapshot)


@works('method', 'webhooks.list_endpoints')
def _(f):
    listed = {endpoint['id']: endpoint for endpoint in f.client.webhooks.list_endpoints()}
    holds(f.endpoint in listed, 'the endpoint is not in it')
    has(listed[f.endpoint], 'url', 'status', 'secret_hint')
    holds('secret' not in listed[f.endpoint], 'it shows the secret')


@works('method', 'webhooks.get_endpoint')
def _(f):
    endpoint = f.client.webhooks.get_endpoint(f.endpoint)
    has(endpoint, 'id', 'url', 'status', 'secret_hint', 'created_at')
    same(endpoint['description'], 'judged', 'the description')


@works('method', 'webhooks.update_endpoint')
def _(f):
    endpoint = f.new_endpoint()['id']
    f.client.webhooks.update_endpoint(endpoint, description='changed', enabled=False)
    read = f.client.webhooks.get_endpoint(endpoint)
    same((read['description'], read['status']), ('changed', 'disabled'), 'what is read afterwards')


@works('method', 'webhooks.delete_endpoint')
def _(f):
    endpoint = f.new_endpoint()['id']
    f.client.webhooks.delete_endpoint(endpoint)
    raises(HTTPError, lambda: f.client.webhooks.get_endpoint(endpoint), 'reading it afterwards')


@works('method', 'webhooks.rotate_secret')
def _(f):
    endpoint = f.new_endpoint()
    rotated = f.client.webhooks.rotate_secret(endpoint['id'])
    holds(rotated['secret'] != endpoint['secret'], 'the secret is the same one')


@works('method', 'webhooks.send_test_event')
def _(f):
    delivery = f.client.webhooks.send_test_event(f.endpoint)
    has(delivery, 'id')
    f.receiver.wait_for('webhook.test')


@works('method', 'webhooks.verify_endpoint')
def _(f):
    endpoint = f.new_endpoint()['id']
    before = len(f.receiver.received)
    status = f.client.webhooks.verify_endpoint(endpoint)['status']
    holds(status in ('active', 'verified'), f'the status of an endpoint that answers is {status}')
    holds(len(f.receiver.received) > before, 'the endpoint was not asked')


@works('method', 'webhooks.list_deliveries')
def _(f):
    wanted = f.delivery
    page = f.client.webhooks.list_deliveries(endpoint_id=f.endpoint, event_type='webhook.test')
    found = {delivery['id']: delivery for delivery in page['items']}
    holds(wanted in found, 'the delivery is not in it')
    has(found[wanted], 'status', 'event_type', 'attempt_count', 'created_at')
    holds('next_cursor' in page, 'no next_cursor')
    none = f.client.webhooks.list_deliveries(endpoint_id=f.endpoint, event_type='vm.created', limit=1)
    holds(all(each['event_type'] == 'vm.created' for each in none['items']), 'event_type is ignored')


@works('method', 'webhooks.replay_delivery')
def _(f):
    endpoint = f.new_endpoint()['id']
    delivery = f.client.webhooks.send_test_event(endpoint)['id']
    until(lambda: f.receiver.with_id(delivery), 'the message has not come')
    f.client.webhooks.replay_delivery(delivery)
    until(lambda: len(f.receiver.with_id(delivery)) >= 2, 'the message has not come a second time')
