"""What `instavm.ts` looks at: prints as JSON what InstaVM's client gives in a microVM."""

import json
import os
import tempfile
import time

from instavm import InstaVM

client = InstaVM(os.environ['SANDPIT_KEY'], base_url=os.environ['SANDPIT_URL'], auto_start_session=False)


def started(**fields):
    vm = client.vms.create(vm_lifetime_seconds=3600, **fields)
    client.session_id = vm['session_id']
    return vm['vm_id']


def downloaded(path):
    with tempfile.TemporaryDirectory() as directory:
        to = os.path.join(directory, 'file')
        client.download_file(path, local_path=to)
        with open(to) as file:
            return file.read()


found = {}
first = started(snapshot_on_terminate=True, snapshot_name='last', egress_policy={'allow_http': False})
found['policy'] = client.get_vm_egress(first)['allow_http']
client.execute('x = 20', timeout=120)
ran = client.execute('print(x + 1)', timeout=120)
found['python'] = [ran['stdout'], ran['exit_code']]
ran = client.execute('echo out; echo err >&2; exit 3', language='bash', timeout=120)
found['bash'] = [ran['stdout'], ran['stderr'], ran['exit_code']]
with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
    file.write('content')
    file.flush()
    client.upload_file(file.name, '/home/user/file.txt')
found['downloaded'] = downloaded('/home/user/file.txt')
client.vms.delete(first)
while not client.snapshots.list():
    time.sleep(0.5)
second = started(snapshot_id='last')
found['last'] = downloaded('/home/user/file.txt')
client.vms.delete(second)
client.snapshots.delete(client.snapshots.list()[0]['id'])
print(json.dumps(found))
