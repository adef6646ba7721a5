"""The socket: broken lines, long ones, many clients, slow ones, and those that leave."""
import json
import os
import socket
import time

from tap import SANITIZED, SLOW, Client, Daemon, refused, run, test, until


def rss(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * 4096


@test("broken requests get an error each, and the connection goes on")
def broken():
    lines = [
        (b"", None), (b"   ", None),
        (b"nonsense", "not a JSON object"), (b"{", "not a JSON object"), (b"[1,2]", "is an array"),
        (b"{\"op\":1}", "op: must be a string"), (b"{}", "op: is missing"),
        (b"{\"op\":\"submitt\"}", "the nearest is submit"), (b"{\"op\":\"hello\",\"op\":\"hello\"}", "duplicate"),
        (b"{\"op\":\"hello\",\"x\":1}", "x: is not a key"), (b"{\"op\":\"status\"}", "needs job"),
        (b"{\"op\":\"status\",\"job\":\"1\"}", "job: must be a whole number"),
        (b"{\"op\":\"status\",\"job\":0}", "job: 0 is not in"), (b"{\"op\":\"status\",\"job\":1.5}", "job: must be"),
        (b"{\"op\":\"status\",\"job\":99999999999999999999}", "not a JSON object"),
        (b"{\"op\":\"cancel\",\"job\":1,\"group\":1}", "not both"),
        (b"{\"op\":\"watch\",\"job\":1,\"group\":1}", "not both"),
        (b"{\"op\":\"list\",\"state\":\"sleeping\"}", "state: must be"),
        (b"{\"op\":\"list\",\"limit\":10001}", "limit: 10001 is not in 1..10000"),
        (b"{\"op\":\"list\",\"since\":-1}", "since"), (b"{\"op\":\"submit\"}", "needs spec or specs"),
        (b"{\"op\":\"submit\",\"spec\":{},\"priority\":1001}", "priority"),
        (b"{\"op\":\"submit\",\"spec\":{},\"token\":\"\"}", "token"),
        (b"{\"op\":\"hello\",\"id\":[]}", "id: must be"), (b"\xff\xfe\x00\x01", "not a JSON object"),
        (b"{\"op\":\"get\",\"job\":1,\"file\":\"a\\u0000b\"}", "not a JSON object"),
        (b"[" * 10000, "not a JSON object"), (b"{\"op\":\"diff\",\"a\":1}", "b: is missing"),
    ]
    with Daemon() as d, d.client() as c:
        for line, words in lines:
            c.send(line + b"\n")
            if words is None:
                continue
            reply = c.line()
            assert reply["ok"] is False and reply["error"]["code"] == "bad_request", (line, reply)
            assert words in reply["error"]["message"], (line, reply)
        assert c.ask("hello")["protocol"] == 1


@test("ids come back as they were, whole numbers and strings, also in errors")
def ids():
    with Daemon() as d, d.client() as c:
        for sent in (0, -5, 9007199254740993, "", "a b", "\u00e4\n"):
            c.send(json.dumps({"id": sent, "op": "hello"}).encode() + b"\n")
            assert c.line()["id"] == sent
            c.send(json.dumps({"id": sent, "op": "nothing"}).encode() + b"\n")
            assert c.line()["id"] == sent
        c.send(b"{\"op\":\"hello\"}\n")
        assert "id" not in c.line()


@test("many requests in one write are answered in order; a request may come byte by byte")
def pipelined():
    with Daemon() as d, d.client() as c:
        n = d.submit("ok", hold=True)
        c.send(b"".join(json.dumps({"id": i, "op": ("hello", "status")[i % 2], **({"job": n} if i % 2 else {})})
                        .encode() + b"\n" for i in range(200)))
        assert [c.line()["id"] for _ in range(200)] == list(range(200))
        for byte in b'{"id":7,"op":"hello"}\n':
            c.send(bytes([byte]))
        assert c.line()["id"] == 7


@test("a client that has said all it wants to still gets its answers")
def half_closed():
    with Daemon() as d, d.client() as c:
        c.send(b'{"id":1,"op":"hello"}\n{"id":2,"op":"list"}\n{"id":3,"op":"hel')
        c.socket.shutdown(socket.SHUT_WR)
        assert c.line()["id"] == 1 and c.line()["id"] == 2
        try:
            c.line()
        except EOFError:
            return
        raise AssertionError("the connection should have ended")


@test("a line longer than limits.line_bytes is refused and the connection closed")
def long_line():
    with Daemon(limits="line_bytes = 4096") as d:
        for end in (b"", b"\n"):
            with d.client() as c:
                try:
                    c.send(b"x" * 20000 + end)
                except OSError:
                    pass
                reply = c.line()
                assert reply["error"]["code"] == "too_large" and "4096" in reply["error"]["message"], reply
                try:
                    c.more()
                    raise AssertionError("the connection should have been closed")
                except (EOFError, ConnectionResetError):
                    pass
        with d.client() as c:
            fits = json.dumps({"op": "submit", "spec": {"model": "ok"}, "token": "t" * 128}).encode()
            c.send(b" " * (4096 - len(fits)) + fits + b"\n")
            assert c.line()["error"]["code"] == "missing"  # understood: there is no dataset imagenet


@test("more connections than limits.connections are told so; room that is given back is used")
def connections():
    with Daemon(limits="connections = 5") as d:
        clients = []

        def one_more():
            c = d.client()
            try:
                c.ask("hello")  # the connections of the daemon's start may still be closing
                clients.append(c)
            except (AssertionError, EOFError, OSError, KeyError):
                c.close()
            return len(clients) == 5
        until(one_more, what="five connections")
        late = d.client()
        reply = late.line()
        assert reply["error"]["code"] == "busy" and "limits.connections" in reply["error"]["message"]
        late.close()
        clients.pop().close()

        def room():
            try:
                with d.client() as c:
                    return c.ask("hello")
            except (AssertionError, EOFError, OSError, KeyError):
                return None
        until(room, what="room for a connection")
        for c in clients:
            assert c.ask("hello")["ok"]
            c.close()


@test("watch tells each change of a job, its progress, and the end")
def watch():
    with Daemon() as d:
        n = d.submit("slow")
        with d.client() as c:
            c.ask("watch", job=n)
            d.wait(n, "running")
            states, stages = [], []
            event = c.line()
            while event["event"] != "end":
                job = event["job"]
                assert job["job"] == n and "spec" not in job
                states.append(job["state"])
                if job["progress"]:
                    stages.append(job["progress"]["done"])
                    if job["progress"]["done"] > 3:
                        d.write("go", "")
                event = c.line()
        assert states[-1] == "done" and "running" in states and len(stages) > 3 and stages == sorted(stages), states


@test("watch of a group ends with its last job; of an ended job at once; of everything never")
def watch_ends():
    with Daemon() as d:
        reply = d.ask("submit", specs=[{"model": m, "dataset": "images"} for m in ("ok", "fail", "mobilenet_v2")])
        with d.client() as c, d.client() as everything:
            everything.ask("watch")
            c.ask("watch", group=reply["group"])
            last = {}
            event = c.line()
            while event["event"] != "end":
                last[event["job"]["job"]] = event["job"]["state"]
                event = c.line()
            assert last == dict(zip(reply["jobs"], ("done", "failed", "done"))), last
            c.close()
            n = d.submit("ok")
            seen = []
            while (n, "done") not in seen:
                event = everything.line()
                assert event["event"] == "job"
                seen.append((event["job"]["job"], event["job"]["state"]))
        with d.client() as c:
            c.ask("watch", job=n)
            assert c.line()["job"]["state"] == "done" and c.line() == {"event": "end"}
            refused("missing", "there is no job 99", d.ask, "watch", job=99)


@test("a watcher that does not read costs nothing, and gets the latest state when it does")
def slow_watcher():
    with Daemon() as d:
        slow = d.client()
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        busy = d.submit("hang")
        d.wait(busy, "running")
        slow.ask("watch")
        with d.client() as c:
            numbers = [c.ask("submit", spec={"model": "ok", "dataset": "images"}, hold=True)["jobs"][0]
                       for _ in range(100)]
            before = rss(d.process.pid)
            for _ in range(40):
                for n in numbers[:25]:
                    c.ask("release", job=n)
                    c.ask("hold", job=n)
            assert SANITIZED or rss(d.process.pid) - before < 4 << 20, (before, rss(d.process.pid))
            for n in numbers:
                c.ask("cancel", job=n)
        last, events = {}, 0
        while len(last) < 101 or set(last.values()) - {"cancelled", "running"}:
            job = slow.line()["job"]
            last[job["job"]] = job["state"]
            events += 1
        assert events < 2000, events
        slow.close()


@test("a download goes as fast as its client reads, and ends with the client")
def download():
    with Daemon() as d:
        n = d.submit("quiet")
        d.wait(n)
        with d.client() as c:
            c.ask("get", job=n, file="big.bin")
            before = rss(d.process.pid)
            time.sleep(0.3)
            assert SANITIZED or rss(d.process.pid) - before < 2 << 20
            data = c.chunks()
            assert data == bytes(range(256)) * 40000
            c.ask("get", job=n)
            assert c.chunks().startswith(b"In (MB)")
        for _ in range(20):
            c = d.client()
            c.ask("get", job=n, file="big.bin")
            c.close()
        until(lambda: len(os.listdir("/proc/%d/fd" % d.process.pid)) < 30, what="files to be closed")
        assert d.ask("hello")["ok"]


@test("clients that leave in the middle of anything harm nobody")
def leavers():
    with Daemon() as d:
        n = d.submit("slow")
        d.wait(n, "running")
        requests = [b'{"op":"list"}\n', b'{"op":"submit","spec":{"model":"ok","dataset":"images"},"hold":true}\n',
                    b'{"op":"watch"}\n', b'{"op":"datasets"}\n', b'{"op":"logs","job":1}\n', b'{"op":"hel', b"\n" * 50,
                    b'{"op":"leaderboard"}\n{"op":"models"}\n{"op":"list"}\n']
        for i in range(160):
            c = Client(d.socket)
            c.send(requests[i % len(requests)])
            if i % 3 == 0:
                c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()

        def room():
            try:
                return d.job(n)
            except (AssertionError, EOFError, OSError, KeyError):
                return None
        assert until(room, what="room for a connection")["state"] == "running"
        d.ask("cancel", job=n)


@test("a stop in the middle of clients' requests is clean")
def stop_under_load():
    import threading
    with Daemon() as d:
        d.submit("slow")

        def work():
            try:
                with Client(d.socket) as c:
                    while True:
                        c.ask("submit", spec={"model": "ok", "dataset": "images"}, hold=True)
                        c.ask("list")
            except (OSError, EOFError):
                pass
        threads = [threading.Thread(target=work) for _ in range(8)]
        watcher = d.client()
        watcher.ask("watch")
        for t in threads:
            t.start()
        time.sleep(0.5)
        begun = time.monotonic()
        d.stop()
        assert time.monotonic() - begun < 6 * SLOW
        for t in threads:
            t.join()
        watcher.close()


@test("netqd --check names what is wrong with a configuration, and the line")
def check():
    with Daemon() as d:
        def says(text, words, code):
            d.config = d.write("check.conf", text)
            os.truncate(d.log, 0) if os.path.exists(d.log) else None
            assert d.launch("--check").wait(20) == code, d.read_log()
            assert words in d.read_log(), d.read_log()
        with open(d.config) as f:
            good = f.read()
        says(good, "no problems", 0)
        says(good + "[dameon]\n", "there is no section [dameon]; the nearest is [daemon]", 1)
        says("[daemon]\njobs = 1\nsokcet = x\n", "check.conf:3: sokcet: is not a key of [daemon]; the nearest is "
             "socket", 1)
        says("[daemon]\njobs = 65\n", "check.conf:2: jobs: 65 is not in 1..64", 1)
        says("[daemon]\njobs = 1\njobs = 1\n", "check.conf:3: jobs: is given twice", 1)
        says("[model x]\ncheckpoint = y\n", "arch x is not supported", 1)
        says(good + "[model resnet18]\ncheckpoint = nowhere.pth\n", "[model resnet18]: checkpoint: cannot read", 1)
        says(good + "[dataset more]\npath = nowhere\n", "[dataset more]: path: cannot read", 1)
        says(good + "[cache]\ndirectory = netqd.conf\n", "[cache]: directory: cannot use", 1)
        says(good + "[cache]\ndirectory = made/later\n", "no problems", 0)
        says("[daemon]\nworker = /nowhere\n", "worker: cannot run /nowhere", 1)


run()
