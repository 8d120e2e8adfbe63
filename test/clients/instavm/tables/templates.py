"""`client.templates`: a published template is a record that sandboxes start from; its catalogue needs no key."""

from calls import has, holds, records, same

TERMINAL = {'tmux_session': 'main', 'command': 'bash', 'cwd': '/app'}


def published(f) -> str:
    """Publishes without verifying, which would need a machine. Publishing the same version again changes nothing."""
    return f.client.templates.publish(f.devbox, verify=False, wait=False)['slug']


@records('method', 'templates.publish')
def _(f):
    record = f.client.templates.publish(f.devbox, verify=False, wait=False)
    same((record['slug'], record['status']), ('judged', 'active'), 'the template')
    has(record, 'snapshot_id')
    [snapshot] = [each for each in f.client.snapshots.list(type='system') if each['id'] == record['snapshot_id']]
    same((snapshot['name'], snapshot['type']), ('template/judged:1.0.0', 'system'), 'its snapshot')


@records('method', 'templates.list')
def _(f):
    slug = published(f)
    listed = {template['slug']: template for template in f.client.templates.list()}
    holds(slug in listed, f'{slug} is not in it')
    has(listed[slug], 'name', 'version', 'audience', 'has_app', 'aliases')


@records('method', 'templates.get')
def _(f):
    template = f.client.templates.get(published(f))
    same((template['status'], template['version']), ('active', '1.0.0'), 'status and version')
    same(template['terminal'], TERMINAL, 'the terminal')
    same(template['runtime'], [], 'the runtime steps')


@records('method', 'templates.run')
def _(f):
    run = f.client.templates.run(published(f), vm_lifetime=600, auto_suspend=True, name='box')
    has(run, 'run_id', 'status', 'vm_id', 'session_id', 'expires_at')
    same((run['devbox_name'], run['terminal']), ('box', TERMINAL), 'name and terminal')
    [vm] = [vm for vm in f.client.vms.list_all_records() if vm['vm_id'] == run['vm_id']]
    same((vm['devbox_name'], vm['devbox_template_slug']), ('box', 'judged'), 'the devbox in the list')
    same(vm.get('auto_suspend'), True, 'auto_suspend')
    f.client.vms.delete(run['vm_id'])
