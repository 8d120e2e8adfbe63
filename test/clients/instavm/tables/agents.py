"""The provider for OpenAI Agents: an asynchronous client around the synchronous one."""

import asyncio
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from agents.sandbox.manifest import Manifest
from agents.sandbox.snapshot import resolve_snapshot
from instavm.integrations.openai_agents import (
    InstaVMSandboxClient,
    InstaVMSandboxClientOptions,
    InstaVMSandboxSession,
    InstaVMSandboxSessionState,
)

from calls import holds, local, records, refused, same


class Sandbox:
    """A provider with one sandbox; every call runs to its end."""

    def __init__(self, f, **options) -> None:
        self.client = InstaVMSandboxClient(api_key=f.key, base_url=f.url)
        self.wrapped = asyncio.run(self.client.create(options=InstaVMSandboxClientOptions(**options)))
        self.session = self.wrapped._inner

    @property
    def state(self):
        return self.session.state

    def call(self, name: str, *args, **options):
        # Inside the loop, because some of the provider's methods are not asynchronous.
        async def run():
            return await getattr(self.session, name)(*args, **options)

        return asyncio.run(run())


def of_session(name: str, words: str, *args, prepare=None, **options) -> None:
    run = lambda sandbox: sandbox.call(name, *args, **options)
    refused('agents', f'session.{name}', words, run, prepare or Sandbox)


@records('agents', 'client.create')
def _(f):
    sandbox = Sandbox(f, memory_mb=1024, cpu_count=2, metadata={'judge': 'agents'}, timeout=600)
    [listed] = f.client.list_sandboxes({'judge': 'agents'})
    vm = f.client.vms.get(listed['sandbox_id'])
    same((vm['session_id'], vm['memory_mb']), (sandbox.state.instavm_session_id, 1024), 'the sandbox')
    from_snapshot = Sandbox(f, snapshot_id=f.snapshot)
    holds(f.client.get_session_status(from_snapshot.state.instavm_session_id)['vm_alive'], 'none from a snapshot')


@records('agents', 'client.delete')
def _(f):
    sandbox = Sandbox(f)
    asyncio.run(sandbox.client.delete(sandbox.wrapped))
    same(f.client.get_session_status(sandbox.state.instavm_session_id)['vm_alive'], False, 'vm_alive afterwards')


@records('agents', 'client.resume')
def _(f):
    sandbox = Sandbox(f)
    resumed = asyncio.run(sandbox.client.resume(sandbox.state))
    same(resumed._inner.state.instavm_session_id, sandbox.state.instavm_session_id, 'the session')


@local('agents', 'client.deserialize_session_state')
def _(f):
    client = InstaVMSandboxClient(api_key=f.key, base_url=f.url)
    state = state_of(f)
    same(client.deserialize_session_state(state.model_dump_json()).instavm_session_id, f.session, 'the session')


def state_of(f):
    ids = {'session_id': uuid4(), 'instavm_session_id': f.session, 'base_url': f.url}
    return InstaVMSandboxSessionState(manifest=Manifest(root='/workspace'), snapshot=resolve_snapshot(None, 'x'), **ids)


def session_of(f):
    return InstaVMSandboxSession.from_state(state_of(f), api_key=f.key)


@local('agents', 'session.from_state')
def _(f):
    same(session_of(f).state.instavm_session_id, f.session, 'the session')


@local('agents', 'session.supports_pty')
def _(f):
    same(session_of(f).supports_pty(), True, 'the result')


@local('agents', 'session.normalize_path')
def _(f):
    same(str(session_of(f).normalize_path('a/../b')), '/workspace/b', 'the path')


@local('agents', 'session.pty_terminate_all')
def _(f):
    # There never is a terminal to end.
    same(asyncio.run(session_of(f).pty_terminate_all()), None, 'the result')


@records('agents', 'session.running')
def _(f):
    sandbox = Sandbox(f)
    same(sandbox.call('running'), True, 'before the end')
    f.client.kill(sandbox.state.instavm_session_id)
    same(sandbox.call('running'), False, 'after the end')


@records('agents', 'session.shutdown')
def _(f):
    sandbox = Sandbox(f)
    sandbox.call('shutdown')
    same(f.client.get_session_status(sandbox.state.instavm_session_id)['vm_alive'], False, 'vm_alive afterwards')


@records('agents', 'session.persist_workspace')
def _(f):
    # A sandbox without a machine has no files: its record is all that is saved and restored.
    sandbox = Sandbox(f, memory_mb=2048)
    kept = sandbox.call('persist_workspace')
    before = sandbox.state.instavm_session_id
    sandbox.call('hydrate_workspace', kept)
    after = sandbox.state.instavm_session_id
    holds(after != before, 'the session is the one before')
    vm = f.client.vms.get(f.client.get_session_info(after)['vm_id'])
    same(vm['memory_mb'], 2048, 'the memory of the sandbox that comes back')


EXECUTE = 'execut|command'
of_session('start', EXECUTE)
of_session('exec', EXECUTE, 'true')
of_session('read', EXECUTE, Path('/workspace/file.txt'))
of_session('write', EXECUTE, Path('/workspace/file.txt'), BytesIO(b'content'))
of_session('hydrate_workspace', EXECUTE, BytesIO(b'no reference to a snapshot'))
of_session('pty_exec_start', 'terminal', 'true', tty=True)
of_session('mount_volume', 'volume', 'volume', '/data')
of_session('unmount_volume', 'volume', 'volume', '/data')
of_session('list_mounted_volumes', 'volume')
of_session('set_egress_policy', 'egress', allow_http=False)
of_session('get_egress_policy', 'egress')
of_session('resolve_exposed_port', 'share', 8000, prepare=lambda f: Sandbox(f, exposed_ports=(8000,)))


@local('agents', 'session.pty_write_stdin')
def _(f):
    # The provider refuses an unknown terminal by itself.
    try:
        asyncio.run(session_of(f).pty_write_stdin(session_id=1, chars='x'))
    except Exception as error:
        holds('1' in str(error), f'it says: {error}')
    else:
        holds(False, 'it writes to a terminal that is none')
