"""The worker starts again, once, where OpenBLAS does not know the CPU's model: nothing else about it changes. Such an
OpenBLAS is made by narrow_blas.c, so that a CPU with AVX2 is all that the tests need."""
import ctypes
import glob
import os
import signal
import subprocess
import tempfile

from tap import BUILD, SLOW, SOURCE, Daemon, Skip, alive, build_preload, run, test, until

WORKER = os.path.join(BUILD, "netq-worker")
DEMO = os.path.join(SOURCE, "tests/data/demo")
FOLDER = "/nonexistent/a folder"  # of no job: the worker says so and ends
SENTENCE = "netq-worker: cannot open %s/lock: No such file or directory\n" % FOLDER
VARIABLE = "OPENBLAS_CORETYPE"
os.environ.pop(VARIABLE, None)


def widest():
    """The kernels that this CPU should get."""
    with open("/proc/cpuinfo") as f:
        flags = next((set(line.split()) for line in f if line.startswith("flags")), set())
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return "SkylakeX"
    if {"avx2", "fma"} <= flags:
        return "Haswell"
    raise Skip("this CPU has no wider registers")


_folder = tempfile.TemporaryDirectory(prefix="netq-blas-")


def narrow():
    """The environment of a worker whose OpenBLAS knows no CPU."""
    path = build_preload("narrow_blas", _folder.name)
    # The sanitizers want to be told that a library may stand before theirs.
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": path, "ASAN_OPTIONS": options.lstrip(":")}


def start(arguments, environment, command=(WORKER,)):
    """Runs the worker to its end: its process's number, exit status, what OpenBLAS was asked, and what it said itself."""
    with subprocess.Popen([*command, *arguments], env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as p:
        try:
            lines = p.communicate(timeout=20 * SLOW)[0].splitlines(keepends=True)
        except subprocess.TimeoutExpired:
            p.kill()
            raise AssertionError("the worker does not end: it starts again and again?")
    asked = [line.strip() for line in lines if line.startswith("asked: ")]
    return p.pid, p.returncode, asked, "".join(line for line in lines if not line.startswith("asked: "))


def asked_twice(pid):
    return ["asked: process %d, <%s>" % (pid, kernels) for kernels in ("not set", widest())]


@test("where OpenBLAS does not know the CPU the worker starts again: once, the same process, the same arguments")
def again():
    widest()
    pid, status, asked, said = start([FOLDER], narrow())
    assert asked == asked_twice(pid) and status == 2 and said == SENTENCE, (pid, status, asked, said)


@test("found along PATH or by a relative path, and loaded by ld.so: the same")
def ways_to_start():
    widest()
    environment = {**narrow(), "PATH": BUILD + ":" + os.environ["PATH"]}
    loaders = glob.glob("/lib64/ld-linux-x86-64.so.2")
    for command in (["netq-worker"], [os.path.relpath(WORKER)], *([loader, WORKER] for loader in loaders)):
        pid, status, asked, said = start([FOLDER], environment, command)
        assert asked == asked_twice(pid) and status == 2 and said == SENTENCE, (command, pid, status, asked, said)


@test("a variable that is set is believed: the worker does not start again, whatever it says")
def believed():
    for value in ("Prescott", "haswell", "nonsense", ""):
        pid, status, asked, said = start([FOLDER], {**narrow(), VARIABLE: value})
        assert asked == ["asked: process %d, <%s>" % (pid, value)], (value, asked)
        assert status == 2 and said == SENTENCE, (value, status, said)


@test("what needs no kernels does not ask for them")
def no_job():
    for arguments, want in (["--version"], 0), (["--help"], 0), ([], 2), (["a", "b"], 2):
        _, status, asked, said = start(arguments, narrow())
        assert status == want and asked == [] and "netq-worker" in said, (arguments, status, asked, said)


@test("with this machine's own OpenBLAS the worker says and returns the same, the variable set or not")
def own():
    for environment in ({}, {VARIABLE: "Prescott"}):
        _, status, _, said = start([FOLDER], environment)
        assert status == 2 and said == SENTENCE, (environment, status, said)


def own_kernels():
    """What this machine's OpenBLAS has chosen by itself."""
    name = ctypes.CDLL("libopenblas.so.0").openblas_get_corename
    name.restype = ctypes.c_char_p
    return name().decode()


def process(pid, name):
    with open("/proc/%d/%s" % (pid, name)) as f:
        return f.read()


def at_work(environment):
    """A job that has reported progress: its worker has the kernels that it should, and the daemon all that it needs."""
    more = "[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s/shufflenet_v2_x0_5.pth\n[dataset demo]\npath = %s/images\n"
    daemon = Daemon(worker=WORKER, more=more % (DEMO, DEMO))
    daemon.environment.update(environment, NETQ_CPU="c")  # slow
    with daemon as d:
        n = d.submit("demo", spec={"calibrate": {"samples": 8}, "dataset": "demo"})

        def reported():
            job = d.job(n)
            assert job["state"] in ("queued", "running") and job["attempts"] <= 1, job
            return job["progress"]
        until(reported, 120, "progress")
        pid = until(d.child, what="the worker")
        os.kill(pid, signal.SIGSTOP)  # so that it does not end before it was looked at
        variables = [v for v in process(pid, "environ").split("\0") if v.startswith(VARIABLE)]
        assert variables == [VARIABLE + "=" + widest()], variables
        folder = os.path.join(d.state, "jobs", str(n))
        assert process(pid, "cmdline").split("\0") == [WORKER, folder, ""], process(pid, "cmdline")
        assert process(pid, "comm") == "netq-worker\n", process(pid, "comm")
        assert start([folder], environment)[1] == 3, "the folder is not locked"
        assert "worker_start job=%d pid=%d " % (n, pid) in d.read_log()
        d.kill()
        until(lambda: not alive(pid), what="the worker to die with its daemon")


@test("a worker that started again is its daemon's as before: progress, name, lock, and death")
def supervised():
    widest()
    at_work(narrow())


@test("the same where this machine's OpenBLAS does not know the CPU")
def supervised_here():
    widest()
    if own_kernels() != "Prescott":
        raise Skip("OpenBLAS chooses %s here" % own_kernels())
    at_work({})


run()
