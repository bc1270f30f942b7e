"""mockware beside other mock servers, frameworks and proxies: `python -m tests.bench.servers`.

Law: everything is measured in one run, in rounds in which all take turns, one worker on one core and the load
on another. What counts is the CPU time that all processes of a server take for a request, in the unit of a
raw ASGI app on uvicorn, since that says how many requests a core can serve, whatever the machine is busy
with. A competitor gets the settings that its own documentation gives for speed, as far as they change nothing
of what it answers (no request journal, no log of requests, production mode); its version is in `versions`.
"""
