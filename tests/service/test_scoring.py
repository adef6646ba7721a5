"""Scoring by the real worker: the same bytes from every version of the kernels, and how much memory it takes."""
import json
import os
import shutil

from tap import BUILD, SANITIZED, SOURCE, Daemon, Skip, run, test

WORKER = os.path.join(BUILD, "netq-worker")
DEMO = os.path.join(SOURCE, "tests/data/demo")
DEMO_IMAGES = os.path.join(DEMO, "images")
SHARED = os.environ.get("NETQ_SHARED")
WIDTHS = ((8, 8), (4, 8), (4, 4))


def spec(weights, activations, limit=0):
    return {"preset": "w8a8", "weights": {"bits": weights}, "activations": {"bits": activations},
            "calibrate": {"samples": 16}, "dataset": "demo", "limit": limit}


def daemon(images=DEMO_IMAGES, threads=1, more="", **environment):
    d = Daemon(worker=WORKER, more="[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s/shufflenet_v2_x0_5.pth\n"
               "[dataset demo]\npath = %s\n%s" % (DEMO, images, more))
    with open(d.config) as f:
        text = f.read()
    d.environment = environment
    d.write("netqd.conf", text.replace("threads = 1", "threads = %d" % threads))
    return d


def scores(kernels):
    """(output.txt, digest of all logits) of a job a pair of widths, or the first one's reason to fail."""
    with daemon(NETQ_CPU=kernels) as d:
        found = []
        for n in [d.submit("demo", spec=spec(*w, limit=100)) for w in WIDTHS]:
            job = d.wait(n, seconds=120)
            if job["state"] != "done":
                return job["reason"]
            with d.client() as c:
                output = c.get(job=n)[1]
                metrics = json.loads(c.get(job=n, file="metrics.json")[1])
            assert metrics["run"]["kernels"] == kernels, metrics["run"]
            found.append((output, metrics["result"]["logits_sha256"]))
        return found


@test("every version of the kernels writes the same output.txt and the same logits, at W8A8, W4A8 and W4A4")
def versions():
    reason = scores("none")
    assert "\"none\" is none of c, " in reason, reason
    want, ran = scores("c"), ["c"]
    assert len(want) == len(set(want)) == len(WIDTHS), want
    for kernels in reason.split(" is none of c, ")[1].split(", "):
        got = scores(kernels)
        if isinstance(got, str):
            assert "this CPU cannot run" in got, got
            continue
        assert got == want, "%s differs" % kernels
        ran.append(kernels)
    print("# " + ", ".join(ran))


def anonymous(pid):
    """Megabytes of RssAnon, or None when the process is gone."""
    try:
        with open("/proc/%d/status" % pid) as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        return None


def while_scoring(d, n):
    """RssAnon of the job's worker, sampled from the first image to the last."""
    samples = []
    with d.client() as c:
        c.ask("watch", job=n)
        while True:
            job = c.line()["job"]
            if job["state"] in ("done", "failed"):
                assert job["state"] == "done", job
                return samples
            progress, pid = job["progress"], d.child()
            memory = anonymous(pid) if pid and progress and progress["stage"] == "score" else None
            if memory and 0 < progress["done"] < progress["total"]:
                samples.append(memory)


def check_memory(samples, threads):
    assert len(samples) >= 3, samples  # five a second; a good CPU is soon done
    half = len(samples) // 2
    print("# RssAnon while scoring, %d samples: first %.1f MB, most %.1f MB" % (len(samples), samples[0], max(samples)))
    assert max(samples) < 150 + 20 * threads, samples
    assert max(samples[half:]) < max(samples[:half]) + 2, samples  # images leave nothing behind


@test("anonymous memory while scoring is below 150 MB + 20 MB a thread and does not grow with the images")
def memory():
    if SANITIZED:
        raise Skip("the sanitizers have an allocator of their own")
    with daemon(images="many", threads=2) as d:
        for copy in range(12):
            for label in os.listdir(DEMO_IMAGES):
                os.makedirs(d.path("many", label), exist_ok=True)
                for name in os.listdir(os.path.join(DEMO_IMAGES, label)):
                    shutil.copy(os.path.join(DEMO_IMAGES, label, name), d.path("many", label, "%d_%s" % (copy, name)))
        check_memory(while_scoring(d, d.submit("demo", spec=spec(8, 8))), 2)


@test("the same for the real ResNet18, whose weights are the largest")
def real():
    if SANITIZED:
        raise Skip("the sanitizers have an allocator of their own")
    if not SHARED:
        raise Skip("NETQ_SHARED is not set")
    more = "[model real]\narch = resnet18\ncheckpoint = %s/data/weights/resnet18-rebuilt.pth\n" % SHARED
    more += "[dataset real]\npath = %s/data/val227\nwnids = %s/data/wnids.txt\n" % (SHARED, SHARED)
    with daemon(more=more) as d:
        check_memory(while_scoring(d, d.submit("real", spec={**spec(8, 8), "dataset": "real"})), 1)


run()
