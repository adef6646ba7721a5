"""The crop cache under the real daemon and worker: the second job decodes nothing, results are the same with and without
it, and nothing in it is believed."""
import glob
import json
import os
import shutil

from tap import BUILD, SOURCE, Daemon, run, test

WORKER = os.path.join(BUILD, "netq-worker")
DEMO = os.path.join(SOURCE, "tests/data/demo")
CHECKPOINT = os.path.join(DEMO, "shufflenet_v2_x0_5.pth")
IMAGES = sum(len(files) for _, _, files in os.walk(os.path.join(DEMO, "images")))
CROP = 224 * 224 * 3


class Demo(Daemon):
    """A daemon with a copy of the demo's images, and little left free for others."""

    def __init__(self, cache="keep_free_mb = 1"):
        super().__init__(worker=WORKER,
                         more="[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s\n[dataset demo]\npath = demo\n"
                              "[cache]\n%s\n" % (CHECKPOINT, cache))
        shutil.copytree(os.path.join(DEMO, "images"), self.path("demo"))

    def job_on_demo(self, **spec):
        """Runs a job to its end: what must not change (output.txt, hashes of logits and images) and the cache's counts."""
        n = self.submit("demo", spec={"calibrate": {"samples": 8}, "dataset": "demo", **spec})
        job = self.wait(n, seconds=120)
        assert job["state"] == "done", job
        with self.client() as c:
            output = c.get(job=n)[1]
            metrics = json.loads(c.get(job=n, file="metrics.json")[1])
        result = metrics["result"]
        return (output, result["logits_sha256"], result["images_sha256"]), metrics["run"]["cache"]

    def cache_file(self):
        (path,) = glob.glob(os.path.join(self.state, "cache", "*.crops"))
        return path

    def first_crop(self):
        """Offset of the first crop in the file."""
        return (128 + 48 * IMAGES + 4095) // 4096 * 4096


def counts(cache):
    return cache["read"], cache["absent"], cache["stale"], cache["damaged"], cache["stored"]


@test("the second job on a dataset decodes nothing and says the same as one without a cache")
def second_job():
    with Demo("limit_mb = 0") as d:
        plain, cache = d.job_on_demo()
        assert cache is None and not os.path.exists(os.path.join(d.state, "cache"))
    with Demo() as d:
        first, cache = d.job_on_demo()
        assert counts(cache) == (0, IMAGES, 0, 0, IMAGES), cache
        second, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0), cache
        assert first == second == plain


@test("a job with a limit fills its part, and the next goes on from there")
def limited():
    with Demo() as d:
        _, cache = d.job_on_demo(limit=5)
        assert counts(cache) == (0, 5, 0, 0, 5), cache
        assert os.stat(d.cache_file()).st_blocks * 512 < 7 * CROP
        whole, cache = d.job_on_demo()
        assert counts(cache) == (5, IMAGES - 5, 0, 0, IMAGES - 5), cache
        _, cache = d.job_on_demo(limit=7)
        assert counts(cache) == (7, 0, 0, 0, 0), cache
        os.unlink(d.cache_file())
        again, cache = d.job_on_demo()
        assert counts(cache) == (0, IMAGES, 0, 0, IMAGES), cache
        assert again == whole


@test("damaged records are noticed and made anew")
def damaged():
    with Demo() as d:
        want, _ = d.job_on_demo()
        with open(d.cache_file(), "r+b") as f:
            f.seek(d.first_crop() + 2 * CROP + 1000)
            f.write(b"\x55" * 64)
            f.seek(128 + 48 * 4 + 3)
            f.write(b"\xaa")
        got, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES - 2, 0, 0, 2, 2), cache
        assert got == want
        got, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0) and got == want, cache


@test("a cut or strange file is made anew")
def cut():
    with Demo() as d:
        want, _ = d.job_on_demo()
        for size in (0, os.path.getsize(d.cache_file()) - 1):
            os.truncate(d.cache_file(), size)
            got, cache = d.job_on_demo()
            assert counts(cache) == (0, IMAGES, 0, 0, IMAGES) and got == want, cache
        with open(d.cache_file(), "r+b") as f:
            f.seek(12)
            f.write(b"\x09")
        got, cache = d.job_on_demo()
        assert counts(cache) == (0, IMAGES, 0, 0, IMAGES) and got == want, cache


@test("an image that changed is decoded again, even with its old size and time")
def changed():
    with Demo() as d:
        before, _ = d.job_on_demo()
        by_size = sorted(glob.glob(d.path("demo", "*", "*")), key=os.path.getsize)
        victim, at = by_size[-1], os.stat(by_size[-1])
        with open(by_size[0], "rb") as f:
            data = f.read()
        with open(victim, "r+b") as f:
            f.write(data.ljust(at.st_size, b"\0"))  # what follows the end of a picture is not looked at
        os.utime(victim, ns=(at.st_atime_ns, at.st_mtime_ns))
        assert os.path.getsize(victim) == at.st_size and os.stat(victim).st_mtime_ns == at.st_mtime_ns
        after, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES - 1, 0, 1, 0, 1), cache
        assert after[2] != before[2]


@test("two jobs that fill one cache at the same time harm nothing")
def together():
    with Demo() as d:
        d.stop()
        with open(d.config) as f:
            text = f.read().replace("[daemon]\n", "[daemon]\njobs = 2\n", 1)
        d.write("netqd.conf", text)
        d.start()
        jobs = [d.submit("demo", spec={"calibrate": {"samples": 8, "seed": s}, "dataset": "demo"}) for s in (1, 2)]
        for n in jobs:
            assert d.wait(n, seconds=120)["state"] == "done"
        _, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0), cache


@test("the limit of the configuration holds")
def limit():
    with Demo("keep_free_mb = 1\nlimit_mb = 1") as d:
        want, cache = d.job_on_demo()
        assert 0 < cache["stored"] <= 6 and cache["full"], cache
        assert os.stat(d.cache_file()).st_blocks * 512 <= 1000000
        got, cache = d.job_on_demo()
        assert 0 < cache["read"] <= 6 and got == want, cache


run()
