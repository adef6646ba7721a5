"""A netqd process on a configuration of its own, netqctl beside it, and a client that speaks the raw protocol: what the
service tests and the accuracy table start. Timeouts are multiplied by $NETQ_TEST_SLOW.
"""
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("NETQ_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
BUILD = os.path.join(SOURCE, os.environ.get("BUILD", "build/release"))
SLOW = float(os.environ.get("NETQ_TEST_SLOW", "1"))
NETQD = os.path.join(BUILD, "netqd")
NETQCTL = os.path.join(BUILD, "netqctl")
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def until(condition, seconds=20, what="something"):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited %g s for %s" % (seconds * SLOW, what))


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__("%s: %s" % (code, message))
        self.code = code
        self.message = message


class Client:
    """A connection. ask() sends one request and returns the reply, raising Refused on an error."""

    def __init__(self, path, seconds=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.settimeout(seconds * SLOW)
        self.buffer = b""
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError("the daemon closed the connection")
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def ask(self, op, **keys):
        self.number += 1
        request = {"id": self.number, "op": op}
        request.update(keys)
        self.send(json.dumps(request).encode() + b"\n")
        reply = self.line()
        assert reply["id"] == self.number, reply
        return self.checked(reply)

    @staticmethod
    def checked(reply):
        if not reply["ok"]:
            raise Refused(reply["error"]["code"], reply["error"]["message"])
        return reply

    def chunks(self):
        """The bytes of a download whose reply has been read."""
        data = b""
        while True:
            (size,) = struct.unpack(">I", self.exactly(4))
            if size == 0:
                last = self.line()
                if "error" in last:
                    raise Refused(last["error"]["code"], last["error"]["message"])
                assert last == {"end": True}, last
                return data
            assert size <= 65536
            data += self.exactly(size)

    def get(self, **keys):
        reply = self.ask("get", **keys)
        return reply, self.chunks()


class Netqd:
    """The daemon of the configuration file `config`, which names `socket`; what it says goes to the file `log`. Ctrl-C
    is for us alone; it ends with us."""

    def __init__(self, config, socket, log):
        self.config = config
        self.socket = socket
        self.log = log
        self.environment = {}  # for the daemon and its workers, beside ours without NETQ_*
        self.process = None

    def launch(self, *arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NETQ_")}
        environment.update(self.environment)
        with open(self.log, "a") as log:
            return subprocess.Popen([NETQD, "--config", self.config, *arguments], stderr=log, stdout=log,
                                    stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
                                    preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))

    def start(self):
        self.process = self.launch()

        def up():
            assert self.process.poll() is None, "netqd ended with %s" % self.process.returncode
            try:
                with self.client() as c:
                    return c.ask("hello")
            except OSError:
                return None
        return until(up, what="the daemon")

    def stop(self):
        """SIGTERM; checks that the daemon ends well."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30 * SLOW)
        assert code == 0, "netqd ended with %d" % code

    def kill(self):
        self.process.kill()
        self.process.wait(30 * SLOW)

    def client(self):
        return Client(self.socket)

    def ask(self, op, **keys):
        with self.client() as c:
            return c.ask(op, **keys)

    def netqctl(self, *arguments, **keys):
        """Runs netqctl against this daemon; keys as subprocess.run() takes them. stdout is captured as text."""
        keys.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([NETQCTL, *arguments], text=True, env=dict(os.environ, NETQ_SOCKET=self.socket), **keys)
