"""Python's json over the documents that examples/documents.rs prints: says what it reads otherwise."""

import json
import struct
import sys

documents = paths = skipped = 0


def at(value, path):
    for step in path.split("/")[1:]:
        key = bytes.fromhex(step[1:]).decode() if step[0] == "k" else int(step[1:])
        if isinstance(value, dict) != (step[0] == "k"):
            sys.exit(f"a {type(value)} has no {step}")
        value = value[key]
    return value


def leaves(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return sum(map(leaves, inner)) or 1


def same(kind, value, said):
    if kind == "n":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if said[0] == "?":
            return True
        digits = said[1] == "-" or value == int(said[1]) and isinstance(value, int)
        return digits and struct.pack(">d", float(value) + 0.0).hex() == said[0]
    if kind == "s":
        return isinstance(value, str) and value.encode().hex() == (said or [""])[0]
    return {"a": value == [], "o": value == {}, "z": value is None, "b": value is (said == ["true"])}[kind]


for line in open(sys.argv[1], encoding="ascii"):
    kind, path, *said = line.split()
    if kind == "doc":
        if documents and left:
            sys.exit(f"{text}: {left} values that the gate does not see")
        text = bytes.fromhex(path)
        document = json.loads(text)
        documents, left = documents + 1, leaves(document)
        continue
    value = at(document, path)
    if not same(kind, value, said):
        sys.exit(f"{text}: at {path} the gate reads {line!r}, Python {value!r}")
    paths, left, skipped = paths + 1, left - 1, skipped + (said[:1] == ["?"])
if left:
    sys.exit(f"{text}: {left} values that the gate does not see")
print(f"Python: {documents} documents, {paths} paths, {skipped} of them ambiguous numbers")
