"""Makes a corpus, one JSON string a line, into a folder of files as libFuzzer wants it."""

import json
import pathlib
import shutil
import sys

rows, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
for number, row in enumerate(rows.read_text(encoding="utf-8").splitlines()):
    (folder / f"{number:04}").write_bytes(json.loads(row).encode("latin-1"))
