"""The same endpoint on FastAPI, asyncpg and PostgreSQL, as fast as they go: prepared statements, a pool, metadata sent as
the text that PostgreSQL gives, nothing validated on the way out. Takes the socket's directory from PGHOST."""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Optional

import asyncpg
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response

FIND_OWNER = "select owner_id from api_keys where secret_hash = $1 and revoked_at is null"
COLUMNS = "select id, template_id, metadata::text, started_at, end_at, status from jsonb_path_ops where owner_id = $1"
NEWEST = "order by started_at desc, id limit"
LIST = f"{COLUMNS} {NEWEST} $2"
FILTER = f"{COLUMNS} and metadata @> $2::jsonb {NEWEST} $3"

pool: asyncpg.Pool
app = FastAPI()


@app.on_event("startup")
async def open_pool():
    global pool
    keep = {"max_queries": 10**9, "max_inactive_connection_lifetime": 0}
    pool = await asyncpg.create_pool(user="bench", database="postgres", min_size=16, max_size=16, **keep)


async def connection():
    async with pool.acquire() as acquired:
        yield acquired


async def owner_of(x_api_key: Optional[str] = Header(None), db=Depends(connection)) -> int:
    secret_hash = hashlib.sha256((x_api_key or "").encode()).digest()
    owner_id = await db.fetchval(FIND_OWNER, secret_hash)
    if owner_id is None:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    return owner_id


def parse_filter(text: str) -> str:
    try:
        if isinstance(json.loads(text), dict):
            return text
    except ValueError:
        pass
    raise HTTPException(422, "metadata is not a JSON object")


@app.get("/v1/sessions/sandboxes")
async def list_sandboxes(
    metadata: Optional[str] = None,
    limit: int = Query(100, ge=1, le=1000),
    owner_id: int = Depends(owner_of),
    db=Depends(connection),
) -> Response:
    if metadata is None:
        rows = await db.fetch(LIST, owner_id, limit)
    else:
        rows = await db.fetch(FILTER, owner_id, parse_filter(metadata), limit)
    return Response("[" + ",".join([sandbox_info(row) for row in rows]) + "]", media_type="application/json")


def sandbox_info(row) -> str:
    sandbox_id, template_id, metadata, started_at, end_at, status = row
    template = json.dumps(template_id)
    name = '"default"' if template_id is None else template
    end = "null" if status != "active" else f'"{iso_time(end_at)}"'
    return (
        f'{{"sandbox_id":"{sandbox_id}","template_id":{template},"name":{name},"metadata":{metadata},'
        f'"started_at":"{iso_time(started_at)}","end_at":{end},"status":"{status}"}}'
    )


EPOCH = datetime(1970, 1, 1)


def iso_time(milliseconds: int) -> str:
    return (EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds") + "Z"
