"""A proxy as code makes it, for a server of the tests' choice; PROXY_UPSTREAM names what is behind it."""

import os

import mockware
from mockware.proxy import Proxy

RULES = [mockware.Rule("POST /reports"), mockware.Rule("/ws/mocked", status=403)]

app = mockware.wrap(Proxy(os.environ["PROXY_UPSTREAM"]), rules=RULES, enabled=True)
