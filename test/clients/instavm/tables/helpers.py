"""Functions beside the client: signatures of webhooks, and the tools for OpenAI."""

import json
from types import SimpleNamespace

from instavm import webhooks as signatures
from instavm.integrations.openai import execute_tool, get_tools

from calls import holds, local, raises, refused, same, works
from command import Failed


@works('helper', 'webhooks.verify')
def _(f):
    endpoint = f.new_endpoint(event_patterns=['vm.created'])
    vm = f.new_vm()
    f.receiver.wait_for(vm)
    for headers, body in [each for each in f.receiver.wait_for(vm) if 'vm.created' in each[1].decode()]:
        try:
            event = signatures.verify(headers, body, endpoint['secret'])
        except signatures.WebhookVerificationError as error:
            # Other endpoints get the event as well, signed with their own secrets.
            if error.reason != 'invalid_signature':
                raise
            continue
        same((event['event_type'], event['vm_id']), ('vm.created', vm), 'the event')
        holds('webhook-signature' in {name.lower() for name in headers}, 'the Standard Webhooks headers are gone')
        wrong = lambda: signatures.verify(headers, body + b' ', endpoint['secret'])
        raises(signatures.WebhookVerificationError, wrong, 'a changed body')
        return
    holds(False, "no message is signed with the endpoint's secret")


@local('helper', 'webhooks.parse_signature_header')
def _(f):
    same(signatures.parse_signature_header('t=1,v1=ab'), {'t': '1', 'v1': 'ab'}, 'the parts')


@local('helper', 'webhooks.compute_signature')
def _(f):
    same(len(signatures.compute_signature('whsec_x', 1, b'{}')), 64, 'hexadecimal digits')


@local('helper', 'integrations.openai.get_tools')
def _(f):
    holds('execute_python_code' in [tool['function']['name'] for tool in get_tools()], 'no tool that executes code')


def use_tools(f):
    """A tool never raises, so its answer must say why. Tries a tool of each kind."""
    said = []
    for name, arguments in (('execute_python_code', {'code': '1'}), ('create_browser_session', {})):
        function = SimpleNamespace(name=name, arguments=json.dumps(arguments))
        answer = execute_tool(f.client, SimpleNamespace(function=function))
        if answer['success']:
            return answer
        said.append(answer['error'])
    raise Failed(' '.join(said))


refused('helper', 'integrations.openai.execute_tool', r'(execut|command).*browser', use_tools)
