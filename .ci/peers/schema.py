"""The JSON Schema that `tollbook policy schema` prints, held to a whole validator (2020-12): every
policy of the corpora that loads is valid, and every one that is built wrongly is not."""

import json
import pathlib
import subprocess
import sys

from jsonschema import Draft202012Validator

TOLLBOOK = sys.argv[1]
TREE = pathlib.Path(__file__).parents[2]
# What the structure does not show; tests/cli_policy/schema.rs has the same list.
BEYOND = {f"TB-POL-{n}" for n in ("001", "005", "006", "034", "035", "045", "051")}

schema = json.loads(subprocess.check_output([TOLLBOOK, "policy", "schema"]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)

texts = [path.read_text() for path in sorted((TREE / "deploy/policies").glob("*.json"))]
published = len(texts)
for path in sorted((TREE / "node/policy/tests/corpus").glob("*.jsonl")):
    for line in path.read_text().split("\n"):
        row = json.loads(line) if line.strip() else {}
        if "text" in row:
            texts.append(row["text"])
        elif "policy" in row:
            # As it is written, so that a number keeps its digits.
            rest = line.split('"policy":', 1)[1].lstrip()
            _, end = json.JSONDecoder().raw_decode(rest)
            texts.append(rest[:end])

loads = refused = 0
for number, text in enumerate(texts):
    try:
        policy = json.loads(text)
    except ValueError:
        continue
    checked = subprocess.run(
        [TOLLBOOK, "policy", "check", "/dev/stdin", "--output", "json"],
        input=text.encode("utf-8", "surrogatepass"),
        capture_output=True,
    )
    if not checked.stdout:
        continue
    findings = json.loads(checked.stdout)[0]["findings"]
    errors = {one["code"] for one in findings if one["severity"] == "error"}
    valid = validator.is_valid(policy)
    if not errors:
        assert valid, (text, [one.message for one in validator.iter_errors(policy)])
        loads += 1
    elif not errors & BEYOND:
        assert not valid, (errors, text)
        refused += 1
    assert number >= published or (valid and not errors), text
print(f"schema: {loads} policies load and are valid, {refused} are refused and are not", flush=True)
assert loads > 150 and refused > 25
