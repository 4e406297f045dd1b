"""A real modern client (PyPI mcp 2.x). Does what it is told and prints what it saw:

    python client.py URL TOKEN '[{"list":true},{"call":"echo","arguments":{...}}]'
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def plain(result):
    return json.loads(result.model_dump_json(by_alias=True, exclude_none=True))


async def run(url, token, steps):
    headers = {} if token == "-" else {"Authorization": f"Bearer {token}"}
    seen = []
    try:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            async with Client(streamable_http_client(url, http_client=http)) as client:
                for step in steps:
                    try:
                        if step.get("list"):
                            tools = await client.list_tools()
                            seen.append(sorted(tool.name for tool in tools.tools))
                        else:
                            result = await client.call_tool(step["call"], step["arguments"])
                            seen.append(plain(result))
                    except Exception as error:  # what a user of the SDK would see
                        code = getattr(getattr(error, "error", None), "code", None)
                        seen.append({"error": {"code": code, "message": str(error)}})
    except BaseException as error:
        seen.append({"failed": {"code": None, "message": repr(error)}})
    print(json.dumps(seen))


asyncio.run(run(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
