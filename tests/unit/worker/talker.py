"""talker.py - a long-lived program for the tests of the process handler: does as its mode (argv[1]) says at the
handshake, and as a job's name says with a job. argv[2] is a folder for its traces."""

import json
import os
import signal
import sys
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else "plain"
FOLDER = sys.argv[2] if len(sys.argv) > 2 else None
held = {}  # id -> name of jobs that wait for job.cancel
starts = 0


def raw(data):
    while data:
        data = data[os.write(1, data):]


def send(**message):
    raw(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def result(ident, value):
    send(id=ident, result=value)


def error(ident, code, message, **data):
    send(id=ident, error={"code": code, "message": message, **({"data": data} if data else {})})


def trace(name, text):
    with open(os.path.join(FOLDER, name), "a", encoding="utf-8") as f:
        f.write(text + "\n")


def initialize(ident, params):
    if MODE == "silent":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return
    if MODE == "once-silent" and os.path.exists(os.path.join(FOLDER, "silent")):
        return result(ident, {"protocol": 1})
    if MODE == "once-silent":
        trace("silent", "yes")
        return
    if MODE == "version":
        return result(ident, {"protocol": 3})
    if MODE == "no-version":
        return result(ident, {})
    if MODE == "refuses":
        return error(ident, -32000, "no licence")
    if MODE == "garbage-first":
        raw(b"Listening on port 3000\n\n")
        send(id=99, result=1)
    if MODE == "deaf":
        result(ident, {"protocol": 1})
        time.sleep(600)
    if MODE == "closes-stdin":
        result(ident, {"protocol": 1})
        os.close(0)
        time.sleep(600)
    if MODE == "closes-stdout":
        result(ident, {"protocol": 1})
        os.close(1)
        time.sleep(600)
    if MODE == "bye":
        result(ident, {"protocol": 1})
        sys.exit(0)
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "byte-wise":
        for byte in json.dumps({"jsonrpc": "2.0", "id": ident, "result": {"protocol": 1}}).encode() + b"\n":
            raw(bytes([byte]))
        return
    result(ident, {"protocol": 1 if MODE == "old" else params["protocol"], "name": "talker"})


def run(ident, params):
    name, data = params["name"], params.get("data")
    if name == "echo":
        result(ident, data)
    elif name == "slow-echo":
        time.sleep(0.002)
        result(ident, data)
    elif name == "raw":
        raw(b'{"jsonrpc":"2.0","id":%d,"result":%s}\n' % (ident, data.encode()))
    elif name == "params":
        result(ident, params)
    elif name == "env":
        result(ident, dict(os.environ))
    elif name == "pid":
        result(ident, os.getpid())
    elif name in ("hold", "stubborn", "late", "wrong"):
        held[ident] = name
        trace("held", str(ident))
    elif name == "release":
        for other in list(held):
            held.pop(other)
            result(other, "released")
        result(ident, None)
    elif name == "order":
        trace("order", str(data))
        result(ident, None)
    elif name == "error":
        error(ident, data["code"], data["message"], **data.get("data", {}))
    elif name == "bad-error":
        send(id=ident, error={"code": "x"})
    elif name == "exit":
        sys.stderr.write("first\nlast words\n")
        sys.stderr.flush()
        os._exit(data)
    elif name == "signal":
        os.kill(os.getpid(), data)
    elif name == "answer-and-exit":
        raw(json.dumps({"jsonrpc": "2.0", "id": ident, "result": "done"}).encode())  # not even a newline
        os._exit(3)
    elif name == "twice":
        result(ident, 1)
        result(ident, 2)
    elif name == "noise":
        raw(b"plain text\n\xff\xfe\n{\"half\":\n42\n{\"a\":1}\n\n[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}]\n")
        send(id=4711, result="nobody asked")
        send(method="job.start", params={})
        send(method="job.progress", params={"id": ident})
        send(method="job.log", params={"id": 4711, "line": "x"})
        send(id="a", method="tell me", params={})
        result(ident, "through")
    elif name == "request":
        send(id="my-id", method="tell me", params={})
        held["request"] = ident
    elif name == "report":
        send(method="job.progress", params={"id": ident, "progress": {"percent": 50}})
        send(method="job.log", params={"id": ident, "line": "half \u20ac \n way \ud83d\ude00"})
        send(method="log", params={"level": "warning", "message": "said by log"})
        sys.stderr.write("said by stderr\n" + "y" * 3000 + "\n")
        sys.stderr.flush()
        result(ident, None)
    elif name == "chatter":
        sys.stderr.write("".join(f"line {i}\n" for i in range(1000)))
        sys.stderr.flush()
        time.sleep(1.1)
        sys.stderr.write("after\n")
        sys.stderr.flush()
        result(ident, None)
    elif name == "beat":
        for _ in range(data):
            time.sleep(0.1)
            send(method="job.heartbeat", params={"id": ident})
        result(ident, "beaten")
    elif name == "long":  # data: bytes of the result
        result(ident, "x" * data)
    elif name == "long-turned":  # the id comes last
        raw(b'{"jsonrpc":"2.0","result":"' + b"x" * data + b'","id":%d}\n' % ident)
    elif name == "long-log":
        send(method="job.log", params={"id": ident, "line": "x" * data})
        result(ident, "still here")
    elif name == "byte-wise":
        for byte in json.dumps({"jsonrpc": "2.0", "id": ident, "result": data}).encode() + b"\n":
            raw(bytes([byte]))
            time.sleep(0.001)
    elif name == "close-stdin":
        os.close(0)
        time.sleep(600)
    elif name == "close-stdout":
        os.close(1)
        time.sleep(600)
    elif name == "child":
        if os.fork() == 0:
            trace("child", str(os.getpid()))
            time.sleep(600)
            os._exit(0)
        while not os.path.exists(os.path.join(FOLDER, "child")):
            time.sleep(0.005)
        os._exit(1)
    elif name == "sleep":
        trace("sleeps", "yes")
        time.sleep(data)
        result(ident, "slept")
    else:
        error(ident, -32601, f"no job {name}")


def cancel(params):
    ident = params["id"]
    name = held.get(ident)
    if FOLDER:
        trace("cancel", json.dumps(params))
    if name == "hold":
        held.pop(ident)
        error(ident, -32004, "as you wish")
    elif name == "late":
        held.pop(ident)
        result(ident, "finished after all")
    elif name == "wrong":
        held.pop(ident)
        error(ident, -32001, "aborted")


def on_message(line):
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        trace("initialize", line.decode()) if FOLDER else None
        initialize(message["id"], params)
    elif method == "job.run":
        run(message["id"], params)
    elif method == "job.cancel":
        cancel(params)
    elif method in ("drain", "shutdown"):
        trace("told", line.decode())
    elif "error" in message:
        if "request" in held:
            result(held.pop("request"), message)
    else:
        raise SystemExit(f"what is {line!r}?")


def main():
    if FOLDER:
        trace("pids", str(os.getpid()))
    if MODE == "exits":
        sys.stderr.write("no database\n")
        sys.exit(78)
    rest = b""
    while True:
        got = os.read(0, 65536)
        if not got:
            break
        rest += got
        *lines, rest = rest.split(b"\n")
        for line in lines:
            on_message(line)
    if FOLDER:
        trace("told", "end of file")
    if MODE == "stubborn":
        time.sleep(600)


main()
