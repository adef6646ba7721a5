"""The real worker under the real daemon, on the embedded demo network: results that do not depend on how often it was
killed, and checkpoints that mean harm."""
import io
import json
import os
import pickle
import re
import shutil
import signal
import struct
import zipfile
from xml.etree import ElementTree

from tap import BUILD, SOURCE, Daemon, Refused, alive, run, test, until

WORKER = os.path.join(BUILD, "netq-worker")
DEMO = os.path.join(SOURCE, "tests/data/demo")
CHECKPOINT = os.path.join(DEMO, "shufflenet_v2_x0_5.pth")
IMAGES = sum(len(files) for _, _, files in os.walk(os.path.join(DEMO, "images")))
JOB = {"calibrate": {"samples": 64}, "dataset": "demo"}


def daemon(**keys):
    more = "[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s\n[dataset demo]\npath = %s/images\n" % (CHECKPOINT,
                                                                                                       DEMO)
    return Daemon(worker=WORKER, more=more, **keys)


def slow_daemon(**keys):
    """Its workers compute with the plain kernels: slowly enough to be met in the middle of scoring, with the same bytes."""
    d = daemon(**keys)
    d.environment["NETQ_CPU"] = "c"
    return d


def when(d, n, stage, after=0):
    """Waits until the job is in the middle of a stage and more than `after` of it are done; its progress there."""
    with d.client() as c:
        c.ask("watch", job=n)
        while True:
            event = c.line()
            assert event["event"] == "job", "the job ended too early to be killed"
            progress = event["job"]["progress"]
            if progress and progress["stage"] == stage and after < progress["done"] < progress["total"]:
                return progress


def set_threads(d, threads):
    with open(d.config) as f:
        text = f.read().replace("threads = 1", "threads = %d" % threads)
    d.stop()
    d.write("netqd.conf", text)
    d.start()


def files(d, n):
    with d.client() as c:
        return c.get(job=n)[1], c.get(job=n, file="model.safetensors")[1]


_reference = []


def reference():
    """output.txt and the model of an undisturbed job with one thread."""
    if not _reference:
        with daemon() as d:
            n = d.submit("demo", spec=JOB)
            job = d.wait(n, seconds=120)
            assert job["state"] == "done", job
            assert job["result"]["images"] == IMAGES and job["result"]["top1"] > 80, job
            _reference.append(files(d, n))
    return _reference[0]


@test("a baseline job on the demo network is done and its artifacts are there")
def undisturbed():
    output, model = reference()
    assert output.startswith(b"In (MB): ") and output.count(b"\n") == IMAGES + 1 and len(model) < 500000


@test("two threads give the same bytes")
def threads():
    want = reference()
    with daemon(daemon="") as d:
        set_threads(d, 2)
        n = d.submit("demo", spec=JOB)
        assert d.wait(n, seconds=120)["state"] == "done"
        assert files(d, n) == want


def disturbed(kill):
    want = reference()
    with slow_daemon() as d:
        n = d.submit("demo", spec=JOB)
        when(d, n, "score")
        pid = until(d.child, what="the worker")
        kill(d, pid)
        until(lambda: not alive(pid), what="the worker to be gone")
        if d.process.poll() is not None:
            d.start()
        job = d.wait(n, seconds=120)
        assert job["state"] == "done", job
        assert files(d, n) == want
        with d.client() as c:
            c.ask("logs", job=n)
            assert c.chunks().count(b"-- ") == 2, "it was not started twice"
        return job


@test("the worker killed with SIGKILL in the middle of scoring: the same bytes")
def kill_worker():
    job = disturbed(lambda d, pid: os.kill(pid, signal.SIGKILL))
    assert job["attempts"] == 2, job


@test("the daemon killed with SIGKILL in the middle of scoring: its worker dies, the same bytes")
def kill_daemon():
    job = disturbed(lambda d, pid: d.kill())
    assert job["attempts"] == 1, job


@test("both killed with SIGKILL in the middle of scoring: the same bytes")
def kill_both():
    def both(d, pid):
        d.process.kill()
        os.kill(pid, signal.SIGKILL)
        d.kill()
    job = disturbed(both)
    assert job["attempts"] == 1, job


@test("the daemon stopped in the middle of scoring: the same bytes")
def stop_daemon():
    job = disturbed(lambda d, pid: d.stop())
    assert job["attempts"] == 1, job


@test("the worker stopped (SIGSTOP): it is taken for hung, killed, and the job is done at the next attempt")
def stalled():
    want = reference()
    with slow_daemon(stall=3) as d:
        n = d.submit("demo", spec=JOB)
        when(d, n, "score")
        os.kill(until(d.child, what="the worker"), signal.SIGSTOP)
        job = d.wait(n, seconds=120)
        assert job["state"] == "done" and job["attempts"] == 2 and files(d, n) == want, job


def with_one_and_two_threads(spec, stage, after=0):
    """A job by one thread, then by two whose worker is killed in `stage`, when more than `after` of it are done: yields
    the daemon, the job's number and result, the threads, and the progress at which it was killed (None for one thread)."""
    for threads in (1, 2):
        with daemon() as d:
            set_threads(d, threads)
            n = d.submit("demo", spec=spec)
            progress = None
            if threads == 2:
                progress = when(d, n, stage, after)
                os.kill(until(d.child, what="the worker"), signal.SIGKILL)
            job = d.wait(n, seconds=240)
            assert job["state"] == "done" and job["attempts"] == threads, job
            yield d, n, job, threads, progress


STEPS = 150  # of a batch


def steps_made(d, n):
    """Steps of distilling that the last attempt made, as the log has it."""
    with d.client() as c:
        c.ask("logs", job=n)
        return int(re.findall(rb"distilled.* steps=(\d+)", c.chunks())[-1])


@test("images distilled from the network: artifacts, and the same bytes after SIGKILL in the middle and with two threads")
def distilled():
    spec = {"dataset": "demo", "preset": "w8a8",
            "calibrate": {"source": "distill", "samples": 6, "batch": 4, "steps": STEPS, "init": "gaussian"}}
    names = ("calibration.npy", "calibration.png", "model.safetensors", "output.txt")
    found = []
    # What a batch ended with is kept: killed in the second, the job does not make the first one again.
    for d, n, job, threads, progress in with_one_and_two_threads(spec, "distill", after=STEPS):
        if threads == 2:
            assert progress["total"] == 2 * STEPS and progress["loss"] > 0, progress
        assert steps_made(d, n) == 2 * STEPS if threads == 1 else steps_made(d, n) <= STEPS
        found.append([artifact(d, n, name) for name in names])
        if threads == 1:
            for name, data in zip(names[:2], found[0]):
                with open(d.path("share/" + name), "wb") as f:
                    f.write(data)
            fed = {"dataset": "demo", "preset": "w8a8", "calibrate": {"source": "file", "file": "calibration.npy"}}
            n = d.submit("demo", spec=fed)
            assert d.wait(n, seconds=120)["state"] == "done"
            layers = [json.loads(artifact(d, job, "metrics.json"))["layers"] for job in (1, n)]
            between = [[layer["seen"] for layer in of[1:-1]] for of in layers]
            assert between[0] == between[1], "the file does not show what the images showed"
            fed["calibrate"]["synthetic"] = True
            n = d.submit("demo", spec=fed)
            assert d.wait(n, seconds=120)["state"] == "done"
            assert artifact(d, n, "output.txt") == found[0][3]
            assert json.loads(artifact(d, n, "metrics.json"))["layers"] == \
                json.loads(artifact(d, 1, "metrics.json"))["layers"]
            fed["calibrate"]["file"] = "calibration.png"
            again = d.wait(d.submit("demo", spec=fed), seconds=120)
            assert again["state"] == "done" and abs(again["result"]["top1"] - job["result"]["top1"]) < 3, again
    assert found[0] == found[1]
    assert b"'shape': (6, 3, 224, 224)" in found[0][0][:128] and found[0][1].startswith(b"\x89PNG")


@test("presets by time: fast draws no sample, balanced makes its own; images may stay as they start")
def by_time():
    with daemon() as d:
        fast = d.submit("demo", spec={"dataset": "demo", "preset": "fast"})
        made = {"samples": 8, "batch": 8, "steps": 10}
        balanced = d.submit("demo", spec={"dataset": "demo", "preset": "balanced", "calibrate": made})
        start = d.submit("demo", spec={"dataset": "demo", "preset": "balanced", "calibrate": dict(made, steps=0)})
        for n in (fast, balanced, start):
            job = d.wait(n, seconds=240)
            assert job["state"] == "done" and job["result"]["top1"] > 80, job
        stages = [[stage["stage"] for stage in json.loads(artifact(d, n, "metrics.json"))["run"]["stages"]]
                  for n in (fast, balanced)]
        assert "distill" not in stages[0] and "distill" in stages[1], stages
        assert artifact(d, balanced, "calibration.npy") != artifact(d, start, "calibration.npy")


@test("second-order rounding layer by layer: the same bytes after SIGKILL in the middle and with two threads")
def layer_by_layer():
    spec = {"dataset": "demo", "preset": "gptq", "weights": {"bits": 4}, "activations": {"bits": 6},
            "calibrate": {"samples": 16, "batch": 16, "steps": 30, "views": 2}}
    found = []
    for d, n, job, threads, progress in with_one_and_two_threads(spec, "quantize"):
        assert job["result"]["top1"] > 60, job
        found.append(files(d, n))
    assert found[0] == found[1]


@test("mixed precision: the file fits its budget, whatever it is; the same bytes after SIGKILL in the middle and with two threads")
def mixed_precision():
    budget = 0.2
    spec = {"dataset": "demo", "preset": "w8a8", "weights": {"bits": "auto", "size_budget_mb": budget, "range": "mse"},
            "repair": {"correct_stats": True}, "calibrate": {"samples": 40}}
    names = ("frontier.svg", "model.safetensors", "output.txt")
    found = []
    for d, n, job, threads, progress in with_one_and_two_threads(spec, "sensitivity"):
        if threads == 2:
            assert progress["total"] == 1000, progress
        assert job["spec"]["weights"]["size_budget_mb"] == budget, job
        metrics = json.loads(artifact(d, n, "metrics.json"))
        found.append([artifact(d, n, name) for name in names] + [metrics["mixed_precision"], metrics["layers"]])
        if threads == 1:
            check_mixed(d, n, metrics, found[0])
    assert found[0] == found[1]


def check_mixed(d, n, metrics, found):
    svg, model, output, mixed, layers = found
    assert len(model) == metrics["result"]["new_model_size"] == mixed["size"] <= mixed["budget"] == 200000
    ElementTree.fromstring(svg)
    bits = {layer["name"]: layer["bits"] for layer in mixed["layers"]}
    assert len(set(bits.values())) > 1 and set(bits.values()) <= set(mixed["widths"]), bits
    assert bits == {layer["name"]: layer["weight_bits"] for layer in layers if "weight_bits" in layer}
    total = 0
    for layer in mixed["layers"]:
        total += layer["kl"][mixed["widths"].index(layer["bits"])]
    assert total == mixed["kl"] and {"size": mixed["size"], "kl": total} in mixed["frontier"]

    # explain shows every layer's bits; the file comes down like any other.
    shown = d.netqctl("explain", str(n), "--all")
    lines = [line.split() for line in shown.stdout.split("\n")]
    assert lines[0][:2] == ["Mixed", "precision:"] and "budget of 0.200000" in shown.stdout, shown
    assert bits == {line[0]: int(line[2]) for line in lines[3:] if line and line[2] != "-"}, shown
    path = d.path("fetched.svg")
    assert d.netqctl("get", str(n), "frontier.svg", "--output", path).returncode == 0
    with open(path, "rb") as f:
        assert f.read() == svg

    with open(d.path("share/model.safetensors"), "wb") as f:
        f.write(model)
    again = d.submit("demo", spec={"dataset": "demo", "preset": "quantized", "quantized": "model.safetensors"})
    assert d.wait(again, seconds=60)["state"] == "done" and files(d, again)[0] == output


@test("mixed precision: a budget that is missing, has no use, or holds no model gets a sentence")
def bad_budgets():
    auto = {"bits": "auto", "size_budget_mb": 0.05}
    with daemon() as d:
        for spec, words in (({"weights": {"bits": "auto"}}, "weights.size_budget_mb: is missing"),
                            ({"weights": {"size_budget_mb": 2}}, "is read only with weights.bits auto"),
                            ({"weights": {**auto, "size_budget_mb": -1}}, "-1 MB is not in"),
                            ({"preset": "squant", "weights": auto}, "auto needs samples, but activations.source is bn")):
            try:
                d.submit("demo", spec={"dataset": "demo", **spec})
                raise AssertionError("taken: %s" % spec)
            except Refused as refused:
                assert refused.code == "bad_spec" and words in refused.message, refused
        n = d.submit("demo", spec={"dataset": "demo", "weights": auto, "calibrate": {"samples": 2}})
        job = d.wait(n, seconds=120)
        words = "weights.size_budget_mb: 0.05 MB hold no quantized model of this network; the smallest budget that works is "
        assert job["state"] == "failed" and job["reason"].startswith(words), job
        smallest = float(job["reason"][len(words):])
        spec = {"dataset": "demo", "weights": {**auto, "size_budget_mb": smallest}, "calibrate": {"samples": 2}}
        n = d.submit("demo", spec=spec)
        assert d.wait(n, seconds=120)["state"] == "done"
        assert len(files(d, n)[1]) == round(smallest * 1e6)


@test("jobs that agree on distilled images make them once: one file, the same results; a damaged one is made anew")
def shared_images():
    spec = {"dataset": "demo", "preset": "w8a8", "limit": 60,
            "calibrate": {"source": "distill", "samples": 4, "batch": 4, "steps": 6, "init": "gaussian"}}
    coarse = {**spec, "weights": {"bits": 4}}
    other = {**spec, "calibrate": {**spec["calibrate"], "seed": 2}}

    def finished(d, spec):
        n = d.submit("demo", spec=spec)
        job = d.wait(n, seconds=120)
        assert job["state"] == "done", job
        return n

    def inode(d, n):
        return os.stat(os.path.join(d.state, "jobs", str(n), "out/calibration.npy")).st_ino

    def made(d, n):
        log = artifact(d, n, "log.txt")
        assert (b" distilled " in log) != (b" images_shared " in log), log
        return b" distilled " in log

    with daemon() as d:
        folder = os.path.join(d.state, "calibration")
        first, second, third = finished(d, spec), finished(d, coarse), finished(d, other)
        assert [made(d, n) for n in (first, second, third)] == [True, False, True]
        assert inode(d, first) == inode(d, second) != inode(d, third) and len(os.listdir(folder)) == 2
        for name in ("calibration.npy", "calibration.png"):
            assert artifact(d, first, name) == artifact(d, second, name)
        alone = files(d, second)

        # What no job has is swept at the start; what is damaged is not believed.
        d.stop()
        d.write("state/calibration/left.npy", "of a job that was forgotten")
        shutil.rmtree(os.path.join(d.state, "jobs", str(third)))
        (shared,) = [os.path.join(folder, f) for f in os.listdir(folder)
                     if os.stat(os.path.join(folder, f)).st_ino == inode(d, first)]
        d.start()
        assert [os.path.join(folder, f) for f in os.listdir(folder)] == [shared]
        os.unlink(shared)
        d.write(os.path.join("state/calibration", os.path.basename(shared)), "damaged")
        fourth = finished(d, {**spec, "weights": {"bits": 5}})
        assert made(d, fourth) and artifact(d, fourth, "calibration.npy") == artifact(d, first, "calibration.npy")
        assert os.stat(shared).st_ino == inode(d, fourth)
    with daemon() as d:
        n = finished(d, coarse)
        assert made(d, n) and files(d, n) == alone


class System:
    def __reduce__(self):
        return os.system, ("touch /tmp/netq-hostile-%d" % os.getpid(),)


def archive(path, compression, names):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, data in names:
            z.writestr(name, data)


def without(path, skip):
    """The demo checkpoint without the last `skip` bytes."""
    with open(CHECKPOINT, "rb") as f:
        data = f.read()
    with open(path, "wb") as f:
        f.write(data[:-skip])


@test("hostile checkpoints are refused with one sentence, and the daemon goes on")
def hostile():
    with daemon() as d:
        pickled = pickle.dumps({"conv1.0.weight": System()}, protocol=2)
        archive(d.path("share/system.pth"), zipfile.ZIP_STORED, [("a/data.pkl", pickled), ("a/version", b"3\n")])
        archive(d.path("share/bomb.pth"), zipfile.ZIP_DEFLATED, [("a/data.pkl", bytes(200 << 20))])
        without(d.path("share/short.pth"), 5000)
        d.write("share/empty.pth", "")
        with open(d.path("share/noise.pth"), "wb") as f:
            f.write(bytes(range(256)) * 64)
        legacy = io.BytesIO()
        for value in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}, System()):
            pickle.dump(value, legacy, protocol=2)
        with open(d.path("share/legacy.pth"), "wb") as f:
            f.write(legacy.getvalue())
        numbers = {}
        for name in ("system", "bomb", "short", "empty", "noise", "legacy"):
            numbers[name] = d.submit("demo", spec={**JOB, "checkpoint": name + ".pth"})
        good = d.submit("demo", spec=JOB)
        for name, n in numbers.items():
            job = d.wait(n, seconds=120)
            assert job["state"] == "failed" and job["attempts"] == 1, (name, job)
            assert name + ".pth" in job["reason"] and "\n" not in job["reason"], (name, job["reason"])
            print("# %s: %s" % (name, job["reason"]))
        assert not os.path.exists("/tmp/netq-hostile-%d" % os.getpid())
        assert d.wait(good, seconds=120)["state"] == "done" and files(d, good) == reference()


@test("a checkpoint that changes after the submit is noticed")
def changed():
    with daemon() as d:
        shutil.copy(CHECKPOINT, d.path("share/copy.pth"))
        n = d.submit("demo", spec={**JOB, "checkpoint": "copy.pth"}, hold=True)
        with open(d.path("share/copy.pth"), "r+b") as f:
            f.seek(200000)
            f.write(b"x")
        d.ask("release", job=n)
        job = d.wait(n, seconds=60)
        assert job["state"] == "failed" and "changed since the job was submitted" in job["reason"], job


@test("model.safetensors of a job, scored again as a quantized file, gives the same labels")
def quantized():
    output, model = reference()
    with daemon() as d:
        with open(d.path("share/model.safetensors"), "wb") as f:
            f.write(model)
        n = d.submit("demo", spec={"dataset": "demo", "preset": "quantized", "quantized": "model.safetensors"})
        job = d.wait(n, seconds=60)
        assert job["state"] == "done" and files(d, n)[0] == output, job
        assert job["result"]["new_model_size"] == len(model)


def artifact(d, n, name):
    with d.client() as c:
        return c.get(job=n, file=name)[1]


def divergence(d, n):
    return json.loads(artifact(d, n, "metrics.json"))["result"]["kl_from_float"]


@test("a float job first: agreement and divergence from the float network are known")
def agreement():
    with daemon() as d:
        early = d.submit("demo", spec=JOB)
        f = d.submit("demo", spec={"dataset": "demo", "preset": "float"})
        fine = d.submit("demo", spec={**JOB, "preset": "w8a8"})
        coarse = d.submit("demo", spec={**JOB, "preset": "w4a4"})
        n = d.submit("demo", spec=JOB)
        for number in (early, f, fine, coarse, n):
            job = d.wait(number, seconds=60)
            assert job["state"] == "done", job
        assert divergence(d, early) is None and divergence(d, f) is None
        assert d.job(early)["result"]["agreement"] is None
        found = [divergence(d, x) for x in (fine, coarse)]
        assert [x["images"] for x in found] == [IMAGES] * 2, found
        assert 0 < found[0]["mean"] < 0.1 < found[1]["mean"] < 2, found

        # The first maximal logit of each row is the float network's label.
        logits, classes = artifact(d, f, "logits.npy"), 10
        assert b"'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d)" % (IMAGES, classes) in logits[:128]
        rows = list(struct.iter_unpack("<%df" % classes, logits[128:]))
        labels = [int(line) for line in artifact(d, f, "output.txt").split(b"\n")[1:-1]]
        assert [row.index(max(row)) for row in rows] == labels

        assert job["state"] == "done" and 0.8 < job["result"]["agreement"] <= 1, job
        reply = d.ask("diff", a=f, b=n)
        assert reply["images"] == IMAGES and reply["changed"] == round(IMAGES * (1 - job["result"]["agreement"]))
        assert reply["b_right"] == job["result"]["top1_right"]


run()
