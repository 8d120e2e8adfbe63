"""What the calls work with: a client, a live sandbox with its session, a snapshot, a key, a webhook endpoint, files."""

from __future__ import annotations

import os
import struct
from base64 import b64encode
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from shutil import which
from subprocess import run

from instavm import InstaVM

from command import Ran, run_command
from receiver import Receiver


class Fixture:
    def __init__(self, url: str, key: str, directory: Path) -> None:
        self.url, self.key, self.directory = url, key, directory
        self.receiver = Receiver()
        self.client = InstaVM(key, base_url=url, timeout=3600, metadata={'judge': 'fixture'})
        self.session: str = self.client.session_id
        self.vm: str = self.client.get_session_info()['vm_id']
        #: An id that no record has, in the form that records have.
        self.nobody = 'sbx-nobody'
        self.snapshot = self.new_snapshot()
        self.api_key: int = self.client.api_keys.create(description='judged')['id']
        self.endpoint: str = self.new_endpoint(description='judged')['id']
        self.delivery: str = self.client.webhooks.send_test_event(self.endpoint)['id']
        self.receiver.wait_for('webhook.test')
        self.ended = self.new_vm()
        self.client.vms.delete(self.ended)
        self._files()

    def new_client(self, **options) -> InstaVM:
        """Returns a client of its own, with a session of its own unless told otherwise."""
        return InstaVM(self.key, base_url=self.url, **options)

    def new_vm(self, **fields) -> str:
        return self.client.vms.create(**fields)['vm_id']

    def new_endpoint(self, **fields) -> dict:
        # A kind that hardly happens, so that an endpoint's deliveries are a test's own.
        return self.client.webhooks.create_endpoint(self.receiver.url, **{'event_patterns': ['snapshot.deleted'], **fields})

    def new_snapshot(self) -> str:
        return self.client.vms.snapshot(self.vm)['snapshot_id']

    @cached_property
    def event(self) -> str:
        answer = self.client.audit.events(limit=1)
        event = (answer.get('items') or answer.get('events'))[0]
        return event.get('id') or event['event_id']

    def public_key(self, seed: int) -> tuple[str, str]:
        """Returns an SSH public key and the fingerprint that OpenSSH shows for it."""
        name = b'ssh-ed25519'
        blob = struct.pack('>I', len(name)) + name + struct.pack('>I', 32) + bytes([seed]) * 32
        fingerprint = b64encode(sha256(blob).digest()).decode().rstrip('=')
        return f'ssh-ed25519 {b64encode(blob).decode()} judge@example', f'SHA256:{fingerprint}'

    def cli(self, line: str, stdin: str = '', **env: str) -> Ran:
        """Runs `instavm LINE`, where {f.vm} and the like are the fixture's."""
        return self.run([word.format(f=self) for word in line.split()], stdin, **env)

    def run(self, argv: list[str], stdin: str = '', **env: str) -> Ran:
        return run_command(argv, stdin, self.environment(**env))

    def environment(self, **more: str) -> dict[str, str]:
        return {
            'HOME': str(self.directory),
            'PATH': f'{self.directory / "bin"}:{os.environ["PATH"]}',
            'INSTAVM_API_KEY': self.key,
            'INSTAVM_BASE_URL': self.url,
            'INSTAVM_COOKBOOKS_DIR': str(self.directory / 'cookbooks'),
            **more,
        }

    @property
    def file(self) -> Path:
        return self.directory / 'file.txt'

    @property
    def other_home(self) -> str:
        return str(self.directory / 'other-home')

    @property
    def vaulted(self) -> Path:
        return self.directory / 'vaulted'

    @property
    def devbox(self) -> Path:
        return self.directory / 'devbox'

    @property
    def deployed(self) -> Path:
        return self.directory / 'cookbooks' / 'deployed'

    @property
    def service(self) -> Path:
        return self.directory / 'cookbooks' / 'service'

    def _files(self) -> None:
        self.file.write_text('content\n')
        (self.directory / 'other-home').mkdir()
        self._executables()
        for folder, manifest in (
            (self.devbox, DEVBOX),
            (self.service, SERVICE),
            (self.vaulted, VAULTED),
            (self.deployed, DEPLOYED),
        ):
            folder.mkdir(parents=True)
            (folder / 'instavm.yaml').write_text(manifest)

    def _executables(self) -> None:
        """OpenSSH's programs, for `connect` and `deploy`, with the configuration of a user of this server.

        They look for it in the home of the user that the system knows. Without machines there is no SSH: each only fails.
        """
        folder = self.directory / 'bin'
        folder.mkdir()
        port = os.environ.get('SSH_PORT')
        config = self.directory / 'ssh_config'
        config.write_text(f'Host 127.0.0.1\nPort {port}\nUserKnownHostsFile {self.directory}/known_hosts\n')
        for name in ('ssh', 'scp'):
            real = f'exec {which(name)} -F {config} "$@"' if port else 'exit 255'
            (folder / name).write_text(f'#!/bin/sh\n{real}\n')
            (folder / name).chmod(0o755)

    def ssh_key(self) -> Path:
        """Makes a key pair in the user's home, once, and returns the file of the public key."""
        public = self.directory / '.ssh' / 'id_ed25519.pub'
        if not public.exists():
            public.parent.mkdir(mode=0o700)
            run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(public.with_suffix(''))], check=True)
        return public


DEVBOX = """\
schema_version: 2
kind: devbox
slug: judged
name: Judged
version: 1.0.0
audience: devbox
vm: {memory_mb: 1024, vcpus: 2}
runtime: []
terminal: {tmux_session: main, command: bash, cwd: /app}
"""

SERVICE = """\
schema_version: 2
slug: service
title: Service
version: 1.0.0
summary: A service
category: web
runtime: python
deploy: {kind: upload_and_run}
vm: {memory_mb: 1024, vcpu_count: 2, timeout_seconds: 600}
app: {port: 8000, healthcheck_path: /, readiness_timeout_seconds: 1, share_public_default: false}
run: {workdir: ., start_command: python3 -m http.server 8000}
source: {include: ["*"], exclude: [], setup_command: "true"}
egress: {mode: allowlist, allowed_domains: [example.com]}
secrets: []
post_deploy_notes: []
"""

#: What machines of containers can do: no egress by domain, and an address that everybody may open.
DEPLOYED = """\
schema_version: 2
slug: deployed
title: Deployed
version: 1.0.0
summary: A service that is deployed
category: web
runtime: python
deploy: {kind: upload_and_run}
vm: {memory_mb: 512, vcpu_count: 1, timeout_seconds: 600}
app: {port: 8000, healthcheck_path: /, readiness_timeout_seconds: 20, share_public_default: true}
run: {workdir: ., start_command: python3 -m http.server 8000 --bind 127.0.0.1}
source: {include: ["*"], exclude: [], setup_command: "echo set up > set-up.txt"}
egress: {mode: open}
secrets: []
post_deploy_notes: []
"""

VAULTED = SERVICE + """\
vault: {required: true, hosts: [api.openai.com]}
"""
