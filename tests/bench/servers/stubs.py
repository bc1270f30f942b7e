"""So many stubs, written in each server's own format.

Law: every stub is a GET of one exact path, answered by 202 with the same JSON; stub number i has the path
`/reports-i` everywhere. The one in the middle is asked for, so that a server that looks at one stub after
another takes what it takes on average, whichever end it begins at.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STATUS = 202
ANSWER = {"status": "accepted", "task_id": "abc-123"}
_BODY = json.dumps(ANSWER)
_JSON = "application/json"


def path_of(number: int) -> str:
    return f"/reports-{number}"


def asked(stubs: int) -> str:
    return path_of(stubs // 2)


def paths(stubs: int) -> list[str]:
    return [path_of(number) for number in range(stubs)]


def mockware(stubs: int) -> str:
    # Without more, a rule answers with the very 202 that all others have to be told.
    return "".join(f'[[rules]]\nmatch = "GET {path}"\n' for path in paths(stubs))


def wiremock(stubs: int) -> str:
    response = {"status": STATUS, "headers": {"Content-Type": _JSON}, "body": _BODY}
    return json.dumps(
        {
            "mappings": [
                {"request": {"method": "GET", "urlPath": path}, "response": response} for path in paths(stubs)
            ]
        }
    )


def mockserver(stubs: int) -> str:
    response = {"statusCode": STATUS, "headers": {"Content-Type": [_JSON]}, "body": _BODY}
    return json.dumps(
        [{"httpRequest": {"method": "GET", "path": path}, "httpResponse": response} for path in paths(stubs)]
    )


def mockoon(stubs: int, port: int) -> str:
    routes = [_mockoon_route(path) for path in paths(stubs)]
    return json.dumps(
        {
            "uuid": str(uuid.uuid4()),
            "lastMigration": 33,
            "name": "bench",
            "endpointPrefix": "",
            "latency": 0,
            "port": port,
            "hostname": "127.0.0.1",
            "folders": [],
            "routes": routes,
            "rootChildren": [{"type": "route", "uuid": route["uuid"]} for route in routes],
            "proxyMode": False,
            "proxyHost": "",
            "proxyRemovePrefix": False,
            "tlsOptions": {"enabled": False},
            "cors": False,
            "headers": [],
            "proxyReqHeaders": [],
            "proxyResHeaders": [],
            "data": [],
            "callbacks": [],
        }
    )


def _mockoon_route(path: str) -> dict[str, Any]:
    response = {
        "uuid": str(uuid.uuid4()),
        "body": _BODY,
        "latency": 0,
        "statusCode": STATUS,
        "label": "",
        "headers": [{"key": "Content-Type", "value": _JSON}],
        "bodyType": "INLINE",
        "filePath": "",
        "databucketID": "",
        "sendFileAsBody": False,
        "rules": [],
        "rulesOperator": "OR",
        "disableTemplating": True,
        "fallbackTo404": False,
        "default": True,
        "crudKey": "id",
        "callbacks": [],
    }
    return {
        "uuid": str(uuid.uuid4()),
        "type": "http",
        "documentation": "",
        "method": "get",
        "endpoint": path[1:],
        "responses": [response],
        "responseMode": None,
        "streamingMode": None,
        "streamingInterval": 0,
    }


def openapi(stubs: int) -> str:
    # Without a schema, which Prism would hold each answer to.
    content = {_JSON: {"example": ANSWER}}
    operation = {"get": {"responses": {str(STATUS): {"description": "accepted", "content": content}}}}
    return json.dumps(
        {
            "openapi": "3.0.3",
            "info": {"title": "bench", "version": "1"},
            "paths": dict.fromkeys(paths(stubs), operation),
        }
    )


def mountebank(stubs: int, port: int) -> str:
    # Without a word about it, mountebank closes the connection after each answer.
    headers = {"Content-Type": _JSON, "Connection": "keep-alive"}
    reply = {"is": {"statusCode": STATUS, "headers": headers, "body": _BODY}}
    found = [
        {"predicates": [{"equals": {"method": "GET", "path": path}}], "responses": [reply]}
        for path in paths(stubs)
    ]
    return json.dumps(
        {"imposters": [{"protocol": "http", "port": port, "host": "127.0.0.1", "stubs": found}]}
    )


def json_server(stubs: int) -> str:
    return json.dumps({path[1:]: ANSWER for path in paths(stubs)})


# json-server answers 200 to a GET unless it is told otherwise.
JSON_SERVER_STATUS = f"module.exports = (req, res, next) => {{ res.status({STATUS}); next() }}\n"


def express(stubs: int, port: int) -> str:
    return f"""
const app = require('express')()
for (let i = 0; i < {stubs}; i++) {{
  app.get('/reports-' + i, (req, res) => {{ res.status({STATUS}).json({json.dumps(ANSWER)}) }})
}}
app.listen({port}, '127.0.0.1')
"""


def http_proxy(upstream: int, port: int) -> str:
    return f"""
const http = require('http')
const agent = new http.Agent({{ keepAlive: true }})
const target = 'http://127.0.0.1:{upstream}'
const proxy = require('http-proxy').createProxyServer({{ target, agent, xfwd: true }})
proxy.on('error', (error, req, res) => {{ res.writeHead(502).end() }})
http.createServer((req, res) => proxy.web(req, res)).listen({port}, '127.0.0.1')
"""


def nginx(folder: Path, port: int, locations: str) -> str:
    # By default, nginx ends a connection after 1000 requests, of the client and of the upstream alike.
    temporary = "".join(
        f"  {name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
{temporary}{locations}
}}
""".replace("PORT", str(port))


def nginx_stubs(served: Sequence[str]) -> str:
    found = "".join(
        f"    location = {path} {{ default_type {_JSON}; return {STATUS} '{_BODY}'; }}\n" for path in served
    )
    return f"  server {{\n    listen 127.0.0.1:PORT;\n{found}  }}"


def nginx_proxy(upstream: int) -> str:
    return f"""
  upstream app {{
    server 127.0.0.1:{upstream};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:PORT;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
"""
