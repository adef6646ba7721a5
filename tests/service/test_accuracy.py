"""The table of methods (bench/accuracy.py) on the demo network: its figures, and that it takes up where it stopped."""
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from tap import SOURCE, run, test, until

MODEL = "shufflenet_v2_x0_5"
DEMO = os.path.join(SOURCE, "tests/data/demo")
IMAGES = 60


class Table:
    """A folder that looks like NETQ_SHARED, and runs of the script in it."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="netq-service-")
        self.home = os.path.join(self.folder, "build/accuracy")
        weights = os.path.join(self.folder, "data/weights")
        os.makedirs(weights)
        shutil.copy(os.path.join(DEMO, MODEL + ".pth"), os.path.join(weights, MODEL + "-rebuilt.pth"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, **settings):
        environment = dict(os.environ, NETQ_SHARED=self.folder, DATA=os.path.join(DEMO, "images"), MODELS=MODEL,
                           LIMIT=str(IMAGES), THREADS="1", ACCURACY_HOME=self.home)
        environment.update(settings)
        return subprocess.Popen([sys.executable, os.path.join(SOURCE, "bench/accuracy.py")], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, code=0, **settings):
        process = self.start(**settings)
        out, err = process.communicate()
        assert process.returncode == code, (process.returncode, err)
        return out, err

    def table(self):
        with open(self.home + ".json") as f:
            return json.load(f)

    def jobs(self):
        return sorted(os.listdir(os.path.join(self.home, "state/jobs")))

    def output(self, number):
        with open(os.path.join(self.home, "state/jobs", str(number), "out/output.txt")) as f:
            return [int(line) for line in f.read().split("\n")[1:-1]]


@test("make accuracy: drop, standard error, agreement and divergence of each cell; a second run computes nothing")
def figures():
    with Table() as t:
        settings = {"PRESETS": "w8a8:calibrate.samples=16,w4a4:calibrate.samples=16", "BITS": "8/8 4/4"}
        out, _ = t.run(**settings)
        table, jobs = t.table(), t.jobs()
        assert [(c["method"], c["weights_bits"], c["spec"]["keep_8bit"]) for c in table["cells"]] == [
            ("w8a8:calibrate.samples=16", 8, []),
            ("w4a4:calibrate.samples=16", 8, ["first", "last"]),
            ("w8a8:calibrate.samples=16", 4, ["first", "last"])], table  # w4a4 at 4/4 is the same scheme
        assert len(jobs) == 4 and len(table["models"]) == 1
        plain = t.output(table["models"][0]["job"])
        for cell in table["cells"]:
            n, labels = cell["images"], t.output(cell["job"])
            assert n == IMAGES == len(labels) == len(plain)
            assert abs(cell["agreement"] - 100 * sum(a == b for a, b in zip(plain, labels)) / n) < 1e-9
            assert abs(cell["drop"] - (cell["float_top1"] - cell["top1"])) < 1e-9
            b, c = cell["lost"], cell["won"]
            assert abs(cell["standard_error"] - 100 * math.sqrt(b + c - (b - c) ** 2 / n) / n) < 1e-9
            assert 0 < cell["kl"] < 5 and cell["minutes"] > 0
            assert "| %.2f | %.2f ± %.2f |" % (cell["top1"], cell["drop"], cell["standard_error"]) in out
        assert table["cells"][0]["kl"] < table["cells"][2]["kl"]
        again, _ = t.run(**settings)
        assert (again, t.table(), t.jobs()) == (out, table, jobs)
        t.run(PRESETS=settings["PRESETS"], BITS="6/8")
        assert len(t.jobs()) == len(jobs) + 2


@test("make accuracy stopped in the middle goes on; a cell that is refused is named with its reason")
def resumed():
    with Table() as t:
        settings = {"PRESETS": "w8a8:calibrate.samples=8,w8a8:calibrate.samples=400,w8a8:activations.range=mse"
                               ":activations.qmax=127", "BITS": "8/8"}
        process = t.start(**settings)
        until(lambda: os.path.exists(t.home + ".json"), seconds=60, what="the first cell")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode == 1 and "goes on from here" in err, err
        first = t.table()["cells"]
        out, _ = t.run(code=1, **settings)
        cells = t.table()["cells"]
        assert cells[0] == first[0] and [c["state"] for c in cells] == ["done", "done", "refused"], cells
        assert "activations.qmax" in cells[2]["reason"] and cells[2]["reason"] in out
        assert len(t.jobs()) == 3


@test("make accuracy calibrates on CALIBRATE what takes noise, and what asks for a file")
def calibrated():
    with Table() as t:
        images = os.path.join(DEMO, "images")
        t.run(PRESETS="w8a8:calibrate.samples=4,gptq:calibrate.source=file:calibrate.samples=4,squant", BITS="8/8",
              CALIBRATE=images)
        cells = t.table()["cells"]
        assert [c["spec"]["calibrate"].get("file") for c in cells] == [images, images, None], cells
        assert all(c["state"] == "done" for c in cells), cells


@test("make accuracy says what is wrong with its settings")
def settings_refused():
    with Table() as t:
        for words, settings in (("PRESETS: \"nope\" is none of baseline", {"PRESETS": "nope"}),
                                ("BITS: \"9/8\"", {"BITS": "8/8,9/8"}),
                                ("no-rebuilt.pth for model no", {"MODELS": "no"})):
            _, err = t.run(code=1, **settings)
            assert words in err and "Traceback" not in err, err


run()
