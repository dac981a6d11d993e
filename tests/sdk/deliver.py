"""Reads requests, one JSON object a line, sends each to a receiver of its own, and prints a table.

The receiver must take the request as it was signed, and refuse it with one byte changed. A sender
without a preset is skipped if it is listed here, and fails otherwise.

Usage: deliver.py RECEIVER < rows
"""

import base64
import http.client
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

READY = "listening on http://"
# Senders that have a package, but no preset yet.
NO_PRESET = {"dropbox-sign", "hygraph", "orb", "plivo-v3", "sinch-voice", "transloadit"}
SKIPPED = "skipped: no preset"


@contextmanager
def receiver(program, row):
    """Runs the receiver that `row` needs, and gives its address and its log, which is complete when it ends."""
    command = [program, "--listen", "127.0.0.1:0", "--store", "memory:"]
    # The requests before this one took time, and some senders allow only seconds.
    command += ["--scheme", row["scheme"], "--secret", row["secret"], "--now", str(row["now"])]
    if row.get("public_url"):
        command += ["--public-url", row["public_url"]]
    for name, value in row.get("parameters", {}).items():
        command += ["--parameter", f"{name}={value}"]
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    log = []
    try:
        for line in process.stdout:
            if line.startswith(READY):
                yield line.removeprefix(READY).strip(), log
                return
        error = process.stderr.read().strip()
        if "unknown scheme" in error:
            raise RuntimeError(SKIPPED if row["scheme"] in NO_PRESET else "no such preset")
        raise RuntimeError("the receiver did not start: " + error)
    finally:
        process.terminate()
        log += process.communicate()[1].splitlines()


def send(address, request):
    """Returns the status of the receiver's response."""
    body = base64.b64decode(request["body_base64"])
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.putrequest(request["method"], request["path"])
        for name, value in request["headers"].items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def failure(program, row):
    """Returns the reason of a failure, or None."""
    if "error" in row:
        return f"SDK: {row['error']}"
    try:
        with receiver(program, row) as (address, log):
            signed, changed = (send(address, row[name]) for name in ("signed", "changed"))
        if signed in range(200, 300) and changed == 401:
            return None
        return "; ".join([f"{signed} as it was signed, {changed} with a byte changed", *log])
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        return str(error) or repr(error)


def main():
    [program] = sys.argv[1:]
    passed, skipped, failed = Counter(), 0, 0
    for row in map(json.loads, sys.stdin):
        wrong = failure(program, row)
        if wrong == SKIPPED:
            skipped += 1
        elif wrong:
            failed += 1
            wrong = f"FAILED: {wrong}"
        else:
            passed[row["kind"]] += 1
        print(f"{row['scheme']:20} {row['sdk']:42} {row['kind']:12} {wrong or 'ok'}", flush=True)
    own = passed["signed"] + passed["accepted"]
    print(f"{passed['signed']} signed and {passed['accepted']} accepted by the sender's own package: {own}")
    print(f"{passed['third-party']} accepted by a third party's package")
    print(f"{skipped} skipped, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
