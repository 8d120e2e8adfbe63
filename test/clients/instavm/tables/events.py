"""`client.audit`, under the names that the client and its command line read."""

from datetime import datetime

from calls import has, holds, same, works


@works('method', 'audit.catalog')
def _(f):
    catalog = f.client.audit.catalog()['catalog']
    holds('vm.created' in catalog.get('vm', []), f'no vm.created in the group vm: {catalog}')
    for types in catalog.values():
        holds(all(isinstance(each, str) for each in types), f'not all are texts: {types}')


@works('method', 'audit.events')
def _(f):
    vm = f.new_vm()
    page = f.client.audit.events(vm_id=vm, event_type='vm.created')
    [event] = page['items']
    has(event, 'id', 'created_at', 'status', 'event_group', 'event_type', 'vm_id', 'session_id', 'actor_type')
    has(event, 'resource_type', 'resource_id', 'event_payload')
    holds({'actor_id', 'error_message'} <= set(event), f'without actor_id or error_message: {event}')
    shown = (event['event_group'], event['event_type'], event['vm_id'], event['status'])
    same(shown, ('vm', 'vm.created', vm, 'success'), 'the event')
    same(event['session_id'], f.client.vms.get(vm)['session_id'], 'the session')
    datetime.fromisoformat(event['created_at'])
    first = f.client.audit.events(limit=1)
    second = f.client.audit.events(limit=1, cursor=first['next_cursor'])
    holds(first['items'][0]['id'] != second['items'][0]['id'], 'the next page is the same one')


@works('method', 'audit.get_event')
def _(f):
    event = f.client.audit.get_event(f.event)
    same(event['id'], f.event, 'the id')
    has(event, 'created_at', 'event_group', 'event_type', 'event_payload')
