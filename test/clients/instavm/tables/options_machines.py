"""Options of the methods about sandboxes and snapshots: each is kept and shown, acted upon, or refused in words."""

from requests import HTTPError

from calls import Unmet, described, holds, raises, records, refused, same, wrong_refusal

POLICY = {'allow_http': False, 'allow_https': False, 'allow_public_repos': False, 'allowed_domains': [], 'allowed_cidrs': []}

#: What needs a machine, with the words that a refusal must hold.
NEEDS_A_MACHINE = {
    'egress_policy': (POLICY, 'egress'),
    'volumes': ([{'volume_id': 'v', 'mount_path': '/data', 'mode': 'rw'}], 'volume'),
    'vault_ids': (['vault'], 'vault'),
    'image_variant': ('computer-use', 'image_variant'),
    'share': ({'port': 8000, 'is_public': False}, 'share'),
    'custom_domain': ('app.example.com', 'custom_domain|domain'),
}
#: What a record could keep and act upon later.
KEPT_OR_REFUSED = {'auto_resume': True, 'snapshot_on_terminate': True, 'snapshot_name': 'last'}


def create_with(name, value):
    return lambda f: f.client.vms.create(metadata={'judge': f'refused {name}'}, **{name: value})


def update_with(name, value):
    return lambda f: f.client.vms.update(f.vm, **{name: value})


for name, (value, words) in NEEDS_A_MACHINE.items():
    refused('option', f'W2 vms.create({name}=)', words, create_with(name, value))
for name in ('vault_ids', 'egress_policy'):
    value, words = NEEDS_A_MACHINE[name]
    refused('option', f'W3 vms.update({name}=)', words, update_with(name, value))


@records('option', 'W2 what is refused leaves no sandbox')
def _(f):
    left = [each for name in NEEDS_A_MACHINE for each in f.client.list_sandboxes({'judge': f'refused {name}'})]
    same(left, [], 'sandboxes')


def kept_or_refused(f, name, value, change) -> None:
    """Raises `Unmet` unless the field is refused in words or shown afterwards."""
    try:
        vm = change(f)['vm_id']
    except Exception as error:
        wrong = wrong_refusal(name, None, error, 0)
        holds(wrong is None, str(wrong))
        return
    same(f.client.vms.get(vm).get(name), value, f'what is read of {name}')


def declare_kept_or_refused(title, name, value, make) -> None:
    @records('option', title)
    def _(f):
        kept_or_refused(f, name, value, make(name, value))


for name, value in KEPT_OR_REFUSED.items():
    declare_kept_or_refused(f'W2 vms.create({name}=)', name, value, create_with)
    declare_kept_or_refused(f'W3 vms.update({name}=)', name, value, update_with)


@records('option', 'W2 vms.create of a field that nobody knows')
def _(f):
    raises(Exception, lambda: f.client.vms.create(colour='blue'), 'an unknown field')


@records('option', 'W3 instavm vm update --snapshot-on-terminate')
def _(f):
    ran = f.cli('vm update {f.vm} --snapshot-on-terminate')
    kept = f.client.vms.get(f.vm).get('snapshot_on_terminate')
    holds(kept is True or (ran.code != 0 and 'not offer' in ran.stderr), f'neither kept nor refused: {ran.said()}')


@records('option', 'W4 vms.create(session_id=) of a session whose sandbox is live')
def _(f):
    client = f.new_client()
    try:
        client.vms.create(session_id=client.session_id)
    except Exception as error:
        # Not "not offered": the same call works once the sandbox has ended.
        holds('has not ended' in str(error) and 'kill it first' in str(error), f'no words: {described(error)}')
        return
    raise Unmet('the session has two sandboxes')


@records('option', 'W4 vms.create(session_id=) of a session whose sandbox has ended')
def _(f):
    client = f.new_client()
    session = client.session_id
    client.vms.delete(client.get_session_info()['vm_id'])
    made = client.vms.create(session_id=session)
    same(made['session_id'], session, 'the session of the answer')
    same(client.get_session_info(session)['vm_id'], made['vm_id'], "the session's sandbox")


@records('option', 'a session outlives its sandbox')
def _(f):
    client = f.new_client()
    session = client.session_id
    client.kill()
    status = client.get_session_status(session)
    same((status['exists'], status['vm_alive']), (True, False), 'exists and vm_alive')
    same(client.get_session_info(session)['session_id'], session, 'the session that is read')


@records('option', 'vms.clone(snapshot_name=)')
def _(f):
    try:
        f.client.vms.clone(f.vm, snapshot_name='of-clone')
    except Exception as error:
        wrong = wrong_refusal('snapshot_name', None, error, 0)
        holds(wrong is None, str(wrong))
    else:
        holds('of-clone' in [each['name'] for each in f.client.snapshots.list()], 'no snapshot has the name')


@records('option', 'W8 no ssh_host where there is no SSH')
def _(f):
    same({vm.get('ssh_host') for vm in f.client.vms.list()}, {None}, 'ssh_host in the list')


@records('option', 'W9 snapshots.list(snapshot_type=)')
def _(f):
    mine = f.new_snapshot()
    system = f.client.snapshots.create('ubuntu:24.04', name='judge-system', snapshot_type='system')['id']
    ids = {kind: [each['id'] for each in f.client.snapshots.list(snapshot_type=kind)] for kind in ('user', 'system')}
    holds(mine in ids['user'] and mine not in ids['system'], "a user's snapshot is in the wrong list")
    holds(system in ids['system'] and system not in ids['user'], "the system's snapshot is in the wrong list")
    same(f.client.snapshots.get(system)['type'], 'system', 'the type')


BUILD = {'extra_apt_packages': 'curl', 'post_build_cmd': 'make'}
refused(
    'option', 'snapshots.create(build_args=)', 'build', lambda f: f.client.snapshots.create('ubuntu:24.04', build_args=BUILD)
)


@records('option', 'W14 a value out of range')
def _(f):
    # The client drops the body of a 422, but must still raise.
    raises(Exception, lambda: f.new_client(timeout=5), 'a lifetime of 5 seconds')
    raises(HTTPError, lambda: f.client.vms.create(memory_mb=1), 'a memory of 1 MB')
