"""Reads signed requests, one JSON object a line, and sends each to a receiver of its own: as it was signed, which must
be taken, and with one byte changed, which must be refused.

Usage: deliver.py RECEIVER [SCHEME...] < rows
"""

import base64
import http.client
import json
import os
import subprocess
import sys
from contextlib import contextmanager

READY = "listening on http://"


@contextmanager
def receiver(program, row):
    """Runs the receiver as `row` needs it, and gives its address and its log, which is filled when it ends."""
    command = [program, "--listen", "127.0.0.1:0", "--scheme", row["scheme"], "--secret", row["secret"]]
    if "public_url" in row:
        command += ["--public-url", row["public_url"]]
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    log = []
    try:
        for line in process.stdout:
            if line.startswith(READY):
                yield line.removeprefix(READY).strip(), log
                return
        raise RuntimeError("the receiver did not start: " + process.stderr.read().strip())
    finally:
        process.terminate()
        log += process.communicate()[1].splitlines()


def send(address, row, headers, body):
    """The status that the receiver answers."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.putrequest(row["method"], row["path"])
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def changed(row, headers, body):
    """The request with one byte changed, so that it stays well formed: in the body's only `EUR`, or in the header that
    `row["change"]` names where the sender does not sign the body."""
    if "change" in row:
        return [(n, v[:-1] + chr(ord(v[-1]) ^ 1)) if n == row["change"] else (n, v) for n, v in headers], body
    if body.count(b"EUR") != 1:
        raise RuntimeError("the body must hold EUR once")
    return headers, body.replace(b"EUR", b"EUS")


def check(program, row):
    """What is wrong, or nothing."""
    if "error" in row:
        return row["error"]
    headers, body = [(name, value) for name, value in row["headers"]], base64.b64decode(row["body_base64"])
    try:
        with receiver(program, row) as (address, log):
            signed = send(address, row, headers, body)
            forged = send(address, row, *changed(row, headers, body))
        if signed in range(200, 300) and forged == 401:
            return None
        return "; ".join([f"answered {signed} as it was signed, {forged} with a byte changed", *log])
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        return str(error) or repr(error)


def main():
    program, *wanted = sys.argv[1:]
    passed = failed = 0
    for row in map(json.loads, sys.stdin):
        if wanted and row["scheme"] not in wanted:
            continue
        wrong = check(program, row)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        name = f"{row['scheme']} ({row['sdk']})"
        print(f"FAILED {name}: {wrong}" if wrong else f"ok {name}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
