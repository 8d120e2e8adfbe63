"""`client.vms` and `client.snapshots`."""

from requests import HTTPError

from calls import has, holds, raises, records, same


@records('method', 'vms.create')
def _(f):
    asked = {'vm_lifetime_seconds': 900, 'memory_mb': 1024, 'vcpu_count': 2, 'metadata': {'judge': 'create'}}
    made = f.client.vms.create(auto_suspend=True, env={'A': 'b'}, **asked)
    has(made, 'vm_id', 'session_id', 'status', 'created_at', 'expires_at')
    vm = f.client.vms.get(made['vm_id'])
    kept = {name: vm.get(name) for name in ('memory_mb', 'vcpu_count', 'metadata', 'auto_suspend')}
    wanted = {name: asked[name] for name in ('memory_mb', 'vcpu_count', 'metadata')} | {'auto_suspend': True}
    same(kept, wanted, 'what is kept of the fields')


@records('method', 'vms.list')
def _(f):
    ended, suspended = f.new_vm(), f.new_vm()
    f.client.vms.delete(ended)
    f.client.vms.suspend(suspended)
    listed = {vm['vm_id']: vm for vm in f.client.vms.list()}
    holds(f.vm in listed, 'the live sandbox is not in it')
    holds(ended not in listed, 'one that has ended is in it')
    has(listed[f.vm], 'status', 'created_at', 'session_id')
    same(listed[f.vm]['status'], 'active', 'the status')


@records('method', 'vms.list_all_records')
def _(f):
    ended, suspended = f.new_vm(), f.new_vm()
    f.client.vms.delete(ended)
    f.client.vms.suspend(suspended)
    listed = {vm['vm_id']: vm for vm in f.client.vms.list_all_records()}
    holds(f.vm in listed and ended in listed and suspended in listed, 'not all three are in it')
    same((listed[ended]['status'], listed[suspended]['status']), ('killed', 'suspended'), 'the statuses')
    has(listed[f.vm], 'created_at', 'expires_at')


@records('method', 'vms.get')
def _(f):
    vm = f.client.vms.get(f.vm)
    same((vm['vm_id'], vm['session_id'], vm['status']), (f.vm, f.session, 'active'), 'the machine')
    has(vm, 'created_at', 'expires_at')
    # `instavm ls` shows it as the address to connect to, and there is no SSH.
    same(vm.get('ssh_host'), None, 'ssh_host where there is no SSH')
    raises(HTTPError, lambda: f.client.vms.get(f.nobody), 'an id that nobody has')


@records('method', 'vms.update')
def _(f):
    vm = f.new_vm(memory_mb=512)
    changes = {'memory_mb': 1024, 'metadata': {'judge': 'update'}, 'auto_suspend': True}
    f.client.vms.update(vm, vm_lifetime_seconds=3600, **changes)
    read = f.client.vms.get(vm)
    same({name: read.get(name) for name in changes}, changes, 'what is read afterwards')


@records('method', 'vms.suspend')
def _(f):
    vm = f.new_vm()
    holds(f.client.vms.suspend(vm)['status'] in ('suspended', 'suspending'), "the answer's status is not suspended")
    same(f.client.vms.get(vm)['status'], 'suspended', 'the status afterwards')


@records('method', 'vms.resume')
def _(f):
    vm = f.new_vm()
    f.client.vms.suspend(vm)
    resumed = f.client.vms.resume(vm)
    same(resumed['status'], 'active', 'the status')
    same(f.client.vms.get(resumed['vm_id'])['status'], 'active', 'the status that is read')


@records('method', 'vms.delete')
def _(f):
    vm = f.new_vm()
    same(f.client.vms.delete(vm)['status'], 'killed', 'the status')
    same(f.client.vms.get(vm)['status'], 'killed', 'the status that is read')


@records('method', 'vms.clone')
def _(f):
    vm = f.new_vm(memory_mb=2048, metadata={'judge': 'clone'})
    clone = f.client.vms.clone(vm)
    has(clone, 'vm_id', 'session_id', 'status')
    holds(clone['vm_id'] != vm, 'it is the same sandbox')
    same((clone['memory_mb'], clone['metadata']), (2048, {'judge': 'clone'}), 'what is copied')


@records('method', 'vms.snapshot')
def _(f):
    made = f.client.vms.snapshot(f.vm, name='judge-snapshot')
    same(made['status'], 'ready', 'the status')
    read = f.client.snapshots.get(made.get('snapshot_id') or made['id'])
    same(read['name'], 'judge-snapshot', 'the name')
    started = f.client.vms.create(snapshot_id=read['id'])
    same(started['status'], 'active', 'a sandbox that is started from it')


@records('method', 'snapshots.create')
def _(f):
    made = f.client.snapshots.create('docker.io/library/ubuntu:24.04', name='judge-image', vcpu_count=2, memory_mb=1024)
    has(made, 'id', 'name', 'status')
    holds(made['status'] in ('building', 'ready'), f'the status is {made["status"]}')
    read = f.client.snapshots.get(made['id'])
    same((read['name'], read['vcpu_count'], read['memory_mb']), ('judge-image', 2, 1024), 'what is kept')


@records('method', 'snapshots.list')
def _(f):
    listed = {snapshot['id']: snapshot for snapshot in f.client.snapshots.list(snapshot_type='user')}
    holds(f.snapshot in listed, 'the snapshot is not in it')
    has(listed[f.snapshot], 'status', 'type', 'created_at')
    same(listed[f.snapshot]['type'], 'user', 'the type')


@records('method', 'snapshots.get')
def _(f):
    read = f.client.snapshots.get(f.snapshot)
    has(read, 'id', 'status', 'type', 'created_at')
    same(read.get('is_public'), False, 'is_public')


@records('method', 'snapshots.delete')
def _(f):
    snapshot = f.new_snapshot()
    f.client.snapshots.delete(snapshot)
    raises(HTTPError, lambda: f.client.snapshots.get(snapshot), 'reading it afterwards')
