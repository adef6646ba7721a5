"""What the service tests share: TAP output, a private daemon, and a client that speaks the raw protocol.

A test is a function with @test("name"); it fails by an exception (usually an assert). run() runs them all and
prints a line "ok N - name" for each. Timeouts are multiplied by $NETQ_TEST_SLOW.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from netqd import BUILD, HERE, NETQD, SLOW, SOURCE, Client, Netqd, Refused, until

SANITIZED = "sanitize" in BUILD  # memory freed is kept for a while there, so that sizes say nothing
FAKE_WORKER = os.path.join(HERE, "fake_worker.py")

_tests = []


class Skip(Exception):
    """Raise it with the reason to skip a test by name."""


def test(name):
    def keep(function):
        _tests.append((name, function))
        return function
    return keep


def run():
    """Runs every test of the script whose name contains argv[1], if given. Exits with 1 where one failed."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [t for t in _tests if wanted in t[0]]
    print("1..%d" % len(chosen), flush=True)
    failed = 0
    for number, (name, function) in enumerate(chosen, 1):
        begun = time.monotonic()
        try:
            function()
            print("ok %d - %s" % (number, name), flush=True)
        except Skip as reason:
            print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)
        except BaseException as error:
            failed += 1
            print("not ok %d - %s" % (number, name), flush=True)
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            if not isinstance(error, Exception):
                raise
        print("# %.1f s" % (time.monotonic() - begun), flush=True)
    sys.exit(1 if failed else 0)


class Daemon(Netqd):
    """A netqd with a folder of its own: checkpoints, datasets, state, socket. Use it in `with`."""

    MODELS = ("ok slow crash crash_once hang stubborn garbage fail liar bad_name half exit2 locked quiet "
              "mobilenet_v2 shufflenet_v2_x1_0").split()

    def __init__(self, worker=FAKE_WORKER, images=(("a", 3), ("b", 2)), dataset="", daemon="", limits="", more="",
                 stall=60 * SLOW):
        self.folder = tempfile.mkdtemp(prefix="netq-service-")
        os.chmod(self.folder, 0o755)
        super().__init__(self.path("netqd.conf"), self.path("socket"), self.path("netqd.log"))
        self.state = self.path("state")
        self.share = self.path("share")
        os.mkdir(self.share)
        self.write("share/model.pth", "float weights " * 100)
        for name, count in images:
            for i in range(count):
                self.write("images/%s/%s_%d.jpg" % (name, name, i), "jpeg %s %d" % (name, i))
        models = "".join("[model %s]\narch = %s\ncheckpoint = share/model.pth\n"
                         % (m, m if m.endswith(("v2", "x1_0")) else "resnet18") for m in self.MODELS)
        self.write("netqd.conf",
                   "[daemon]\nsocket = socket\nstate = state\nworker = %s\nthreads = 1\nlog_level = debug\n%s\n"
                   "[limits]\nroots = share\nstall_seconds = %d\n%s\n%s"
                   "[dataset images]\npath = images\n%s\n"
                   % (worker, daemon, stall, limits, models + more, dataset))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            if kind:
                self.print_log()
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def read_log(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def print_log(self):
        for line in self.read_log().splitlines()[-40:]:
            print("#   " + line)

    def submit(self, model="ok", **keys):
        spec = {"model": model, "preset": "baseline"}
        spec.update(keys.pop("spec", {}))
        if "dataset_path" not in spec:
            spec.setdefault("dataset", "images")
        return self.ask("submit", spec=spec, **keys)["jobs"][0]

    def job(self, number):
        return self.ask("status", job=number)["job"]

    def wait(self, number, *states, seconds=30):
        """Until the job is in one of the states (default: ended); returns its object."""
        states = states or ("done", "failed", "cancelled")

        def there():
            job = self.job(number)
            return job if job["state"] in states else None
        return until(there, seconds, "job %d to be %s" % (number, "/".join(states)))

    def child(self):
        """The pid of the daemon's worker, or None."""
        for name in os.listdir("/proc"):
            try:
                with open("/proc/%s/stat" % name) as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                if name.isdigit() and int(fields[1]) == self.process.pid and fields[0] != "Z":
                    return int(name)
            except OSError:
                pass
        return None

    def worker_pid(self, number):
        """The pid that the fake worker of a running job has written down."""
        path = os.path.join(self.state, "jobs", str(number), "state", "pid")

        def there():
            try:
                with open(path) as f:
                    return int(f.read() or 0)
            except (OSError, ValueError):
                return 0
        return until(there, what="the worker of job %d" % number)


def build_preload(name, folder):
    """NAME.c of this folder as a library for LD_PRELOAD: its path, in `folder`, where it is built once."""
    library = os.path.join(folder, name + ".so")
    if not os.path.exists(library):
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, os.path.join(HERE, name + ".c")], check=True)
    return library


def alive(pid):
    """A zombie is dead."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def refused(code, words, function, *arguments, **keys):
    """The call must be refused with this code and a message that has these words."""
    try:
        reply = function(*arguments, **keys)
    except Refused as error:
        assert error.code == code, error
        assert words in error.message, error
        return error
    raise AssertionError("was not refused: %s" % (reply,))
