import type { Command } from 'commander';
import { isExecutable } from '../../spec/assets.ts';
import type { Terminal } from '../terminal/terminal.ts';

export function deployCommands(program: Command, { stdout }: Terminal): void {
  program
    .command('service')
    .description('print a systemd unit: sandpit service > /etc/systemd/system/sandpit.service')
    .action(() => void stdout.write(unit(isExecutable() ? process.execPath : '/usr/local/bin/sandpit')));

  program
    .command('dockerfile')
    .description('print a Dockerfile for the executable')
    .action(
      () => void stdout.write(dockerfile(`sandpit-linux-${process.platform === 'linux' ? process.arch : 'x64'}`)),
    );
}

const hardening = `# Node's compiler needs writable executable memory, so MemoryDenyWriteExecute is not set.
AmbientCapabilities=
CapabilityBoundingSet=
# As PrivateDevices=yes, which would hide /dev/kvm: microVMs need it.
DeviceAllow=/dev/kvm rw
DevicePolicy=closed
LockPersonality=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
`;

function unit(executable: string): string {
  return `[Unit]
Description=Sandpit, a control plane for sandboxes
After=network.target

[Service]
ExecStart=${quoted(executable)} serve
# Reloads the certificate (SANDPIT_TLS_CERT, SANDPIT_TLS_KEY).
ExecReload=kill -HUP $MAINPID
Environment=SANDPIT_DB=%S/sandpit/sandpit.db
# Optional file for settings such as SANDPIT_HOST.
EnvironmentFile=-/etc/sandpit.env
StateDirectory=sandpit
StateDirectoryMode=0700
WorkingDirectory=%S/sandpit
DynamicUser=yes
# Uncomment to let the server read a private key that belongs to this group:
#SupplementaryGroups=ssl-cert
# Uncomment to run microVMs, if a group may use /dev/kvm, or containers of Docker:
#SupplementaryGroups=kvm
#SupplementaryGroups=docker
UMask=0077
# MicroVMs are processes of this unit: they go on while it restarts, and when one runs out of memory, the others do.
KillMode=process
OOMPolicy=continue
Restart=on-failure
TimeoutStopSec=15

${hardening}
[Install]
WantedBy=multi-user.target
`;
}

/** Quotes a path for systemd (systemd.syntax(7), "Quoting"); % starts a specifier. */
function quoted(path: string): string {
  const escaped = path.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w./%+-]+$/.test(path) ? escaped : `"${escaped.replace(/[\\"]/g, '\\$&')}"`;
}

function dockerfile(executable: string): string {
  return `# Put this file beside the executable that npm run package builds. If it has another name: --build-arg EXECUTABLE=...
# docker build -t sandpit . && docker run -p 127.0.0.1:3000:3000 -v sandpit:/data sandpit
# On a network, use TLS: -e SANDPIT_TLS_CERT=... -e SANDPIT_TLS_KEY=...,
# or a TLS proxy and SANDPIT_TRUST_PROXY.
# docker kill --signal HUP reloads the certificate.
FROM debian:12-slim
ARG EXECUTABLE=${executable}
COPY \${EXECUTABLE} /usr/local/bin/sandpit
RUN install -d -o 65532 -g 65532 -m 700 /data
USER 65532:65532
ENV SANDPIT_HOST=0.0.0.0 SANDPIT_DB=/data/sandpit.db
VOLUME /data
EXPOSE 3000
HEALTHCHECK --start-period=10s --timeout=5s CMD ["/usr/local/bin/sandpit", "health"]
ENTRYPOINT ["/usr/local/bin/sandpit"]
CMD ["serve"]
`;
}
