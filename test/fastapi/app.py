"""The native operations of openapi.yaml as a FastAPI developer would write them, to judge Sandpit's answers by.

Models are strict: Sandpit coerces nothing in a body. What an operation does is left out, only its refusals are real.
"""

import os
from datetime import datetime
from typing import Annotated, Literal, Optional

from fastapi import Body, Depends, FastAPI, Form, Header, HTTPException, Path, Query
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, Field, model_validator

KEY = os.environ["JUDGE_KEY"]
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
bearer = OAuth2PasswordBearer(tokenUrl="v1/auth/token", auto_error=False)


def refused(detail: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


def caller(
    token: Annotated[Optional[str], Depends(bearer)],
    x_api_key: Annotated[Optional[str], Header()] = None,
) -> str:
    if KEY in (token, x_api_key):
        return KEY
    raise refused("Could not validate credentials" if token or x_api_key else "Not authenticated")


Caller = Annotated[str, Depends(caller)]


class Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Sandbox(Model):
    vm_lifetime_seconds: Annotated[Optional[int], Field(ge=20, le=86400)] = 300
    memory_mb: Annotated[Optional[int], Field(ge=128, le=8192)] = None
    vcpu_count: Optional[Literal[1, 2, 4, 6, 8]] = None
    metadata: Optional[dict] = None
    env: Optional[dict[str, str]] = None


class CreateVM(Sandbox):
    snapshot_id: Annotated[Optional[str], Field(min_length=1, max_length=256)] = None
    auto_suspend: Optional[bool] = None
    session_id: Annotated[Optional[str], Field(max_length=64)] = None


class CreateSession(Model):
    api_key: str
    vm_lifetime_seconds: Annotated[Optional[int], Field(ge=20, le=86400)] = 300
    memory_mb: Annotated[Optional[int], Field(ge=128, le=8192)] = None
    vcpu_count: Optional[Literal[1, 2, 4, 6, 8]] = None
    metadata: Optional[dict] = None
    env: Optional[dict[str, str]] = None


class UpdateVM(Model):
    metadata: dict = {}
    vm_lifetime_seconds: Annotated[int, Field(ge=20, le=86400)] = 300
    memory_mb: Annotated[int, Field(ge=128, le=8192)] = 512
    auto_suspend: Optional[bool] = None


class KillSandboxes(Model):
    metadata: Optional[dict] = None
    status: Optional[Literal["active", "paused"]] = None
    older_than_seconds: Annotated[Optional[int], Field(ge=1, le=3153600000)] = None
    limit: Annotated[int, Field(ge=1, le=10000)] = 10000
    dry_run: bool = False
    all: bool = False

    @model_validator(mode="after")
    def says_which(self):
        if not self.metadata and self.status is None and self.older_than_seconds is None and not self.all:
            raise ValueError(
                'give metadata, status or older_than_seconds; to kill all sandboxes, send "all": true'
            )
        return self


class CreateSnapshot(Model):
    oci_image: Annotated[str, Field(min_length=1, max_length=1024)]
    name: Annotated[Optional[str], Field(min_length=1, max_length=256)] = None
    vcpu_count: Annotated[Optional[int], Field(ge=1, le=8)] = 2
    memory_mb: Annotated[Optional[int], Field(ge=128, le=8192)] = 512


@app.get("/v1/sessions/sandboxes")
def list_sandboxes(
    _: Caller,
    metadata: Annotated[Optional[str], Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
):
    return []


@app.get("/v1/audit/events")
def list_events(
    _: Caller,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    since: Optional[datetime] = None,
    until: Optional[datetime] = None,
):
    return {}


@app.get("/v1/vms/")
def list_vm_records(_: Caller, limit: Annotated[int, Query(ge=1, le=1000)] = 1000):
    return []


@app.get("/v1/vms")
def list_vms(_: Caller, limit: Annotated[int, Query(ge=1, le=1000)] = 1000):
    return []


@app.post("/v1/vms", status_code=201)
def create_vm(_: Caller, body: Annotated[Optional[CreateVM], Body()] = None):
    return {}


@app.get("/v1/vms/{vm_id}")
def get_vm(_: Caller, vm_id: Annotated[str, Path()]):
    raise HTTPException(404, "Sandbox not found")


@app.patch("/v1/vms/{vm_id}")
def update_vm(_: Caller, vm_id: Annotated[str, Path()], body: UpdateVM):
    raise HTTPException(404, "Sandbox not found")


@app.delete("/v1/vms/{vm_id}")
def delete_vm(_: Caller, vm_id: Annotated[str, Path()]):
    raise HTTPException(404, "Sandbox not found")


@app.post("/v1/sandboxes/kill")
def kill(_: Caller, body: KillSandboxes):
    return {}


@app.post("/v1/snapshots", status_code=201)
def create_snapshot(_: Caller, body: CreateSnapshot):
    return {}


@app.post("/v1/sessions/session")
def create_session(body: CreateSession):
    if body.api_key != KEY:
        raise refused("Could not validate credentials")
    return {}


@app.post("/v1/auth/token")
def create_token(
    grant_type: Optional[str] = Form(default=None, pattern="^password$"),
    username: str = Form(),
    password: str = Form(),
    scope: str = Form(default=""),
):
    raise refused("Incorrect username or password")


@app.get("/health")
def health():
    return {"status": "ok", "version": "0.1.0"}
