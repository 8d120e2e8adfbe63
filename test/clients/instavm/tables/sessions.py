"""Sessions and the list of sandboxes: methods of the client itself."""

from contextlib import redirect_stdout
from io import StringIO

from instavm import AuthenticationError, InstaVM

from calls import has, holds, local, raises, records, same


@records('method', 'InstaVM')
def _(f):
    labels = {'judge': 'constructor'}
    client = f.new_client(timeout=600, memory_mb=1024, cpu_count=2, metadata=labels, env={'A': 'b'})
    [listed] = client.list_sandboxes(metadata=labels)
    vm = client.vms.get(client.get_session_info()['vm_id'])
    same((vm['memory_mb'], vm['vcpu_count'], vm['metadata']), (1024, 2, labels), 'the session that it starts')
    same(listed['sandbox_id'], vm['vm_id'], 'the sandbox in the list')
    raises(AuthenticationError, lambda: InstaVM(f'e2b_{"0" * 40}', base_url=f.url), 'a wrong key')


@records('method', 'start_session')
def _(f):
    client = f.new_client(auto_start_session=False)
    session = client.start_session()
    same(client.session_id, session, "the client's session")
    same(client.get_session_info(session)['session_id'], session, 'the session that is read')


@records('method', 'get_session_info')
def _(f):
    info = f.client.get_session_info()
    same((info['session_id'], info['vm_id']), (f.session, f.vm), 'session and machine')


@records('method', 'get_session_status')
def _(f):
    status = f.client.get_session_status()
    read = {name: status.get(name) for name in ('exists', 'vm_assigned', 'vm_alive', 'vm_id', 'vm_status')}
    wanted = {'exists': True, 'vm_assigned': True, 'vm_alive': True, 'vm_id': f.vm, 'vm_status': 'active'}
    same(read, wanted, 'the status')


@records('method', 'is_session_active')
def _(f):
    client = f.new_client()
    same(client.is_session_active(), True, 'before the end')
    client.vms.delete(client.get_session_info()['vm_id'])
    same(client.is_session_active(), False, 'after the end')


@records('method', 'get_usage')
def _(f):
    usage = f.client.get_usage()
    same(usage['session_id'], f.session, 'the session')
    holds(usage['run_seconds'] >= 0, f'no run_seconds: {usage}')


@records('method', 'list_sandboxes')
def _(f):
    f.new_client(metadata={'judge': 'list', 'note': 'a b+c'})
    f.new_client(metadata={'judge': 'list'})
    same(len(f.client.list_sandboxes({'judge': 'list'})), 2, 'sandboxes with the metadata')
    same(len(f.client.list_sandboxes({'judge': 'list', 'note': 'a b+c'})), 1, 'sandboxes with both labels')
    same(len(f.client.list_sandboxes({'judge': 'list'}, limit=1)), 1, 'sandboxes up to the limit')


@records('method', 'kill')
def _(f):
    client = f.new_client()
    session = client.session_id
    vm = client.get_session_info()['vm_id']
    client.kill()
    same(client.session_id, None, "the client's session afterwards")
    same(client.get_session_status(session)['vm_alive'], False, 'vm_alive afterwards')
    same(client.vms.get(vm)['status'], 'killed', 'the status afterwards')


@local('method', 'close_session')
def _(f):
    client = f.new_client(auto_start_session=False)
    client.session_id = f.session
    with redirect_stdout(StringIO()) as printed:
        same(client.close_session(), True, 'the result')
    same(client.session_id, None, 'the session afterwards')
    holds('auto-expire' in printed.getvalue(), 'it prints nothing')


@local('method', 'browser.close')
def _(f):
    # The manager has started no browser session, so there is nothing to close.
    same(f.new_client(auto_start_session=False).browser.close(), None, 'the result')


@local('method', 'pty.ws_url')
def _(f):
    url = f.client.pty.ws_url(f.session, 'pty')
    holds(url.startswith(f'ws://') and f'/v1/sessions/{f.session}/pty/pty/connect' in url, f'the address is {url}')


@local('method', 'pty.ws_url_for_vm')
def _(f):
    url = f.client.pty.ws_url_for_vm(f.vm, 'pty')
    holds(f'/v1/vms/{f.vm}/pty/pty/connect' in url, f'the address is {url}')


@records('method', 'get_usage_breakdown')
def _(f):
    usage = f.client.get_usage_breakdown(days=7)
    has(usage, 'period_start', 'period_end', 'total_days', 'totals', 'daily_breakdown')
    same(usage['total_days'], 7, 'total_days')
    same(len(usage['daily_breakdown']), 7, 'days in daily_breakdown')
    has(usage['totals'], 'cost_dollars', 'cpu_hours', 'ram_gib_hours')
    for day in usage['daily_breakdown']:
        has(day, 'date', 'cost_dollars', 'cpu_hours', 'ram_gib_hours')
    summed = sum(day['cpu_hours'] for day in usage['daily_breakdown'])
    holds(abs(summed - usage['totals']['cpu_hours']) < 1e-4, f'the days sum up to {summed}: {usage["totals"]}')
    same(usage['totals']['cost_dollars'], 0, 'what it costs')
