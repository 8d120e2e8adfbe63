"""Commands about sandboxes, snapshots, templates and devboxes."""

from calls import holds, local, records, same
from tables.templates import published


@records('command', 'create')
def _(f):
    ran = f.cli('create --timeout 600 --memory 1024 --vcpu 2 --auto-suspend --json').json()
    vm = f.client.vms.get(ran['vm_id'])
    same((vm['memory_mb'], vm['vcpu_count'], vm.get('auto_suspend')), (1024, 2, True), 'what is kept of the options')
    f.cli('create').prints('VM: ', 'Session: ', 'Status: active')


@records('command', 'ls')
def _(f):
    ended = f.new_vm()
    f.client.vms.delete(ended)
    created = f.client.vms.get(f.vm).get('created_at') or 'created_at'
    f.cli('ls').prints(f.vm, str(created)[:10])
    holds(ended not in f.cli('ls').stdout, 'it shows a sandbox that has ended')
    f.cli('ls --all').prints(f.vm, ended)


@records('command', 'rm')
def _(f):
    first, second = f.new_vm(), f.new_vm()
    f.cli(f'rm {first} {second}').prints(f'{first}: killed', f'{second}: killed')
    same([f.client.vms.get(vm)['status'] for vm in (first, second)], ['killed'] * 2, 'the statuses')


@records('command', 'clone')
def _(f):
    vm = f.new_vm(memory_mb=2048)
    clone = f.cli(f'clone {vm} --json').json()
    same(f.client.vms.get(clone['vm_id'])['memory_mb'], 2048, 'the memory of the clone')


@records('command', 'vm update')
def _(f):
    vm = f.new_vm(memory_mb=512)
    f.cli(f'vm update {vm} --memory-mb 1024 --auto-suspend').prints('memory_mb=1024', 'Status: active')
    read = f.client.vms.get(vm)
    same((read['memory_mb'], read.get('auto_suspend')), (1024, True), 'what is read afterwards')


@records('command', 'vm suspend')
def _(f):
    vm = f.new_vm()
    f.cli(f'vm suspend {vm}').prints('Status: suspend')
    same(f.client.vms.get(vm)['status'], 'suspended', 'the status afterwards')


@records('command', 'vm resume')
def _(f):
    vm = f.new_vm()
    f.client.vms.suspend(vm)
    f.cli(f'vm resume {vm}').prints('Status: active')


@records('command', 'snapshot ls')
def _(f):
    f.cli('snapshot ls').prints(f.snapshot, 'ready', 'user')
    holds(f.snapshot not in f.cli('snapshot ls --type system').stdout, "it shows a user's snapshot as the system's")


@records('command', 'snapshot create')
def _(f):
    made = f.cli('snapshot create {f.vm} --name by-command --json').json()
    same(f.client.snapshots.get(made['id'])['name'], 'by-command', 'the name')


@records('command', 'snapshot build')
def _(f):
    line = 'snapshot build docker.io/library/ubuntu:24.04 --name built --memory 1024 --type user'
    f.cli(line).prints('Snapshot: ', 'Name: built', 'Status: ')


@records('command', 'snapshot get')
def _(f):
    f.cli('snapshot get {f.snapshot}').prints(f'Snapshot: {f.snapshot}', 'Status: ready', 'Type: user')


@records('command', 'snapshot rm')
def _(f):
    snapshot = f.new_snapshot()
    f.cli(f'snapshot rm {snapshot}').prints(f'Deleted snapshot {snapshot}')
    holds(snapshot not in [each['id'] for each in f.client.snapshots.list()], 'it is there afterwards')


@records('command', 'template publish')
def _(f):
    f.cli('template publish {f.devbox} --no-verify --no-wait').prints('Template: judged', 'Status: active')


@records('command', 'template list')
def _(f):
    f.cli('template list').prints(published(f), 'Judged', '1.0.0')


@records('command', 'template get')
def _(f):
    f.cli(f'template get {published(f)}').prints('Template: judged', 'Status: active', 'Version: 1.0.0')


@records('command', 'template run')
def _(f):
    run = f.cli(f'template run {published(f)} --name by-command --vm-lifetime 600 --json').json()
    same((run['status'], run['devbox_name']), ('active', 'by-command'), 'the run')
    f.client.vms.delete(run['vm_id'])


def with_devbox(f, use) -> None:
    run = f.client.templates.run(published(f), name='mine')
    try:
        use(run['vm_id'])
    finally:
        f.client.vms.delete(run['vm_id'])


@records('command', 'devbox ls')
def _(f):
    f.cli('devbox ls').prints('No devboxes.')
    with_devbox(f, lambda vm: f.cli('devbox ls').prints('mine', 'judged', vm))


@records('command', 'devbox stop')
def _(f):
    with_devbox(f, lambda _vm: f.cli('devbox stop mine').prints('mine: killed'))


@records('command', 'devbox suspend')
def _(f):
    with_devbox(f, lambda _vm: f.cli('devbox suspend mine').prints('mine: suspend'))


@records('command', 'devbox resume')
def _(f):
    def use(vm):
        f.client.vms.suspend(vm)
        f.cli('devbox resume mine --no-attach').prints('mine: active')

    with_devbox(f, use)


@records('command', 'desktop status')
def _(f):
    # The command shows the sandbox and leaves out a viewer that the server refuses.
    f.cli('desktop status {f.vm}').prints(f'Session: {f.session}', f'VM: {f.vm}', 'Status: active')
    holds('Viewer' not in f.cli('desktop status {f.vm}').stdout, 'it shows a viewer')


@records('command', 'desktop stop')
def _(f):
    vm = f.new_vm()
    f.cli(f'desktop stop {vm}').prints(f'Stopping {vm}')
    same(f.client.vms.get(vm)['status'], 'killed', 'the status afterwards')


@local('command', 'connect')
def _(f):
    # The command derives the SSH host from the API's address and does not ask the server.
    command = f.cli('connect --json {f.vm}').json()['command']
    holds(f'{f.vm}@127.0.0.1' in command, f'the command is {command}')
