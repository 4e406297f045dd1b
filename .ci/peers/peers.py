"""Real MCP clients and servers with a gate between: what they see through it against what they see
without it, and what the book says. Needs the packages of requirements.txt and package.json."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
PEERS = pathlib.Path(sys.argv[1])  # where the packages are installed
TOLLBOOK = sys.argv[2]
PYTHON = str(PEERS / "venv/bin/python")
passed = failed = 0


def check(claim, ok, shown=None):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(("ok      " if ok else "FAILED  ") + claim, flush=True)
    if not ok:
        print("        ", json.dumps(shown), flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"a peer ended with {process.returncode} before it listened")
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("a peer did not listen within a minute")


def tollbook(*args, text=None):
    done = subprocess.run([TOLLBOOK, *args], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tollbook {' '.join(args)}: {done.stderr}")
    return done.stdout


def client(kind, url, token, steps):
    command = {"ts": ["node", str(PEERS / "client.mjs")], "py": [PYTHON, str(HERE / "client.py")]}
    done = subprocess.run(
        [*command[kind], url, token, json.dumps(steps)], capture_output=True, text=True, timeout=90
    )
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"client {kind}: {done.stdout} {done.stderr}")


def same(one, two):
    """Results without what each server stamps anew on every reply."""
    drop = lambda result: {key: value for key, value in result.items() if key != "_meta"}
    return drop(one) == drop(two)


def denied(result, text):
    return result.get("isError") is True and result["content"][0]["text"] == f"[POLICY DENIED] {text}"


def unknown(result, tool):
    error = result.get("error", {})
    return f"Unknown tool: {tool}" in (error.get("message") or "")


def try_ledger(kind, direct, endpoint, token, counters):
    balance = {"call": "get_balance", "arguments": {}}
    refund = lambda amount: {
        "call": "create_refund",
        "arguments": {"charge_id": "ch_105", "amount": amount},
    }
    before = counters()
    plain = client(kind, direct, "-", [{"list": True}, balance, refund(50)])
    seen = client(
        kind,
        endpoint,
        token,
        [
            {"list": True},
            balance,
            refund(50),
            refund(500000),
            {"call": "close_account", "arguments": {}},
            refund(50),
            refund(50),
        ],
    )
    name = f"{kind}, fastmcp"
    if len(seen) != 7:
        return check(f"{name}: the conversation went to its end", False, seen)
    check(f"{name}: the list is what the policy permits", seen[0] == ["create_refund", "get_balance"], seen[0])
    check(f"{name}: the server itself lists more", len(plain[0]) == 3, plain[0])
    check(f"{name}: an allowed call's result is the direct one", same(seen[1], plain[1]), [seen[1], plain[1]])
    check(f"{name}: so is another's", same(seen[2], plain[2]), [seen[2], plain[2]])
    check(f"{name}: a denied call is a tool error", denied(seen[3], "Refund exceeds the policy limit."), seen[3])
    check(f"{name}: a hidden tool is unknown", unknown(seen[4], "close_account"), seen[4])
    check(f"{name}: the second refund of the month passes", same(seen[5], plain[2]), seen[5])
    check(f"{name}: the third is over the limit", denied(seen[6], "Monthly refunds exhausted."), seen[6])
    after = counters()
    grown = {tool: after.get(tool, 0) - before.get(tool, 0) for tool in after}
    expected = {"get_balance": 2, "create_refund": 3}
    check(f"{name}: no denied call reached the server", grown == expected, grown)


def try_everything(kind, direct, endpoint, token):
    steps = [
        {"list": True},
        {"call": "echo", "arguments": {"message": "hello there"}},
        {"call": "get-sum", "arguments": {"a": 2, "b": 40}},
        {"call": "echo", "arguments": {"message": "rm -rf /"}},
        {"call": "get-env", "arguments": {}},
    ]
    plain = client(kind, direct, "-", steps[:3])
    seen = client(kind, endpoint, token, steps)
    name = f"{kind}, server-everything"
    if len(seen) != 5:
        return check(f"{name}: the conversation went to its end", False, seen)
    check(f"{name}: the list is what the policy permits", seen[0] == ["echo", "get-sum"], seen[0])
    check(f"{name}: an allowed call's result is the direct one", same(seen[1], plain[1]), [seen[1], plain[1]])
    check(f"{name}: so is another's", same(seen[2], plain[2]), [seen[2], plain[2]])
    check(f"{name}: a denied call is a tool error", denied(seen[3], "Only plain words are echoed."), seen[3])
    check(f"{name}: a hidden tool is unknown", unknown(seen[4], "get-env"), seen[4])


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="tollbook-peers-"))
    started = []
    # Node finds its packages beside the script that asks for them.
    shutil.copy(HERE / "client.mjs", PEERS / "client.mjs")
    try:
        run(work, started)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)
        shutil.rmtree(work)
    print(f"peers: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def run(work, started):
    ledger, everything = free_port(), free_port()
    started.append(
        subprocess.Popen(
            [PYTHON, str(HERE / "server.py"), str(ledger)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )
    started.append(
        subprocess.Popen(
            [str(PEERS / "node_modules/.bin/mcp-server-everything"), "streamableHttp"],
            env={**os.environ, "PORT": str(everything)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )
    wait_for(ledger, started[0])
    wait_for(everything, started[1])

    node = str(work / "node")
    tollbook("init", "--dir", node, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    serve = subprocess.Popen(
        [TOLLBOOK, "serve", "--dir", node], stderr=subprocess.PIPE, text=True
    )
    started.append(serve)
    for line in serve.stderr:
        if line.startswith("ready "):
            break
    else:
        sys.exit("tollbook serve ended before it was ready")

    at = ["--dir", node]
    direct = {
        "ledger": f"http://127.0.0.1:{ledger}/mcp",
        "everything": f"http://127.0.0.1:{everything}/mcp",
    }
    for name, url in direct.items():
        tollbook("server", "add", name, "--url", url, *at)
        tollbook("policy", "apply", name, str(HERE / f"{name}.policy.json"), *at)

    def grant(server, name):
        made = json.loads(
            tollbook("grant", "create", name, "--server", server, "--policy", server,
                     "--output", "json", *at)
        )
        return made["endpoint"], made["token"]

    def counters():
        with urllib.request.urlopen(f"http://127.0.0.1:{ledger}/counters") as reply:
            return json.load(reply)

    for kind in ["ts", "py"]:
        try_ledger(kind, direct["ledger"], *grant("ledger", f"{kind}-ledger"), counters)
    # The everything server speaks the legacy era alone; the modern client falls back on its answer.
    for kind in ["ts", "py"]:
        try_everything(kind, direct["everything"], *grant("everything", f"{kind}-everything"))
    seen = client("ts", grant("ledger", "wrong")[0], "tbg_no", [{"list": True}])
    check("ts: a bad token gets no session", "failed" in seen[0], seen)

    denials = [json.loads(line) for line in tollbook(
        "audit", "search", "--verdict", "deny", "--output", "jsonl", *at).splitlines()]
    check("the book has all ten denials", len(denials) == 10, denials)
    serve.send_signal(signal.SIGTERM)
    check("the gate stops in good order", serve.wait(40) == 0)
    verdict = subprocess.run(
        [TOLLBOOK, "audit", "verify", node, "--json"], capture_output=True, text=True
    )
    check("the book is valid", json.loads(verdict.stdout)["verdict"] == "valid", verdict.stdout)


main()
