"""Commands that ask no server."""

from calls import local, same

NOT_YET = 'does not yet include the scheduler/job control-plane APIs'


@local('command', 'help')
def _(f):
    f.cli('help events tail').prints('usage: instavm events tail')


@local('command', 'auth set-key')
def _(f):
    f.cli('auth set-key', stdin='key_1234567890', HOME=f.other_home).prints('Stored API key in')


@local('command', 'auth status')
def _(f):
    f.cli('auth status').prints(f'Base URL: {f.url} (env)')


@local('command', 'auth logout')
def _(f):
    f.cli('auth logout', HOME=f.other_home).prints('Removed the stored API key')


@local('command', 'doc')
def _(f):
    f.cli('doc').prints('https://')


@local('command', 'billing portal')
def _(f):
    f.cli('billing portal').prints('https://')


@local('command', 'cookbook list')
def _(f):
    f.cli('cookbook list').prints('service')


@local('command', 'cookbook info')
def _(f):
    f.cli('cookbook info service').prints('Service')


def unsupported(name: str) -> None:
    @local('command', name)
    def _(f):
        ran = f.cli(name)
        same((ran.code, NOT_YET in ' '.join(ran.stderr.split())), (2, True), 'the exit code, and whether it says why')


for name in ('ls', 'run', 'pause', 'resume', 'history', 'logs'):
    unsupported(f'cron {name}')
for name in ('job history', 'job logs', 'run'):
    unsupported(name)
