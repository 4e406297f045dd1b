"""A real server (PyPI fastmcp, both eras) that counts what reaches it. GET /counters tells."""

import sys
from collections import Counter

from fastmcp import FastMCP
from starlette.responses import JSONResponse

server = FastMCP("ledger")
calls = Counter()


@server.tool
def create_refund(charge_id: str, amount: float) -> str:
    """Refund a charge."""
    calls["create_refund"] += 1
    return f"refunded {amount} of {charge_id}"


@server.tool
def get_balance() -> dict:
    """The account's balance."""
    calls["get_balance"] += 1
    return {"available": 1250, "currency": "usd"}


@server.tool
def close_account() -> str:
    """Close the account for good."""
    calls["close_account"] += 1
    return "closed"


@server.custom_route("/counters", methods=["GET"])
async def counters(_request):
    return JSONResponse(dict(calls))


server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False)
