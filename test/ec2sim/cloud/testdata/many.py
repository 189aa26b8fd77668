"""Runs Debian's awscli many times in one process: starting it takes a second, a call some milliseconds.

Reads one command a line, as a JSON list of arguments, and answers each with a line of JSON: how it ended and what it printed.
"""
import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver

driver = create_clidriver()
for line in sys.stdin:
    args = json.loads(line)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = driver.main(args)
        except SystemExit as end:
            code = end.code
    print(json.dumps({"code": code, "out": out.getvalue()}), flush=True)
    if "modify-instance-attribute" in args:
        driver = create_clidriver()  # that command listens to all later ones
