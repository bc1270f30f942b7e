"""The API of test_browsers.py: FastAPI with a CORS layer of its own inside, mockware outside.

`PAGES` names the origins of the front ends that the app's own layer allows, separated by blanks; `/page` is
an empty page of whichever origin it is asked from. Its own layer allows no header but `X-Own`, and no DELETE.
"""

import os

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse

import mockware

service = FastAPI()
service.add_middleware(
    CORSMiddleware,
    allow_origins=os.environ.get("PAGES", "").split(),
    allow_credentials=True,
    allow_methods=["GET", "PUT"],
    allow_headers=["X-Own"],
)


@service.get("/page")
def page() -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>page</title><link rel=icon href='data:,'>")


@service.api_route("/own", methods=["GET", "PUT", "DELETE"])
@service.api_route("/mocked", methods=["GET", "PUT", "DELETE"])
@service.api_route("/sometimes", methods=["GET", "PUT", "DELETE"])
def own(request: Request) -> dict[str, object]:
    return {"own": True, "cookies": dict(request.cookies)}


app = mockware.wrap(service)
