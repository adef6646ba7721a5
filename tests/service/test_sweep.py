"""netqctl sweep: a grid of jobs as one group, its table and its frontiers."""
import json
import os
import signal
import subprocess
import xml.etree.ElementTree

from netqd import NETQCTL
from tap import BUILD, SOURCE, Daemon, run, test, until

# The fake worker: a model file of a quarter of the checkpoint plus seed % 5 bytes, images - 1 - seed % 3 right.
SEEDS = ["--calibrate-seed", "0,1,3,7"]
SVG = "{http://www.w3.org/2000/svg}"


def sweep(d, *arguments, code=0):
    done = d.netqctl("sweep", "--dataset", "images", *arguments, stderr=subprocess.PIPE)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def swept(d, *arguments, code=0):
    return json.loads(sweep(d, "--json", *arguments, code=code).stdout)


@test("a sweep is one group; float comes first; table, frontier and drops are right")
def whole():
    with Daemon() as d:
        grid = ["--model", "ok,mobilenet_v2", "--preset", "w8a8,float", *SEEDS]
        result = swept(d, *grid)
        cells = result["cells"]
        assert [c["job"] for c in cells] == list(range(1, 11)) and result["group"] == 1
        assert [c["cell"].get("calibrate.seed") for c in cells] == [None, None] + ["0", "1", "3", "7"] * 2
        assert all(c["state"] == "done" and c["seconds"] > 0 for c in cells)
        assert [f["model"] for f in result["frontiers"]] == ["ok", "mobilenet_v2"]
        for frontier in result["frontiers"]:
            of_model = [c for c in cells if c["cell"]["model"] == frontier["model"] and c["drop"] is not None]
            assert frontier["images"] == 5 and len(of_model) == 4
            # seed 0: smallest and most accurate; 1 and 3 larger and no better; 7 larger, too
            assert [c["frontier"] for c in of_model] == [True, False, False, False], of_model
            assert frontier["jobs"] == [of_model[0]["job"]]
            reply = d.ask("diff", a=frontier["float"], b=of_model[1]["job"])
            for key in ("drop", "standard_error"):
                assert abs(of_model[1][key] - reply[key]) < 1e-9, (of_model[1], reply)
            assert all(c["agreement"] == 1 for c in of_model)
        text = sweep(d, *grid).stdout
        assert "group g1: 10 of 10 cells done" in text and "Pareto frontier of mobilenet_v2:" in text
        header = text.split("\n")[0].split()
        assert header[:4] == ["JOB", "MODEL", "PRESET", "CALIBRATE.SEED"] and "TOOK" in header, header


@test("the same sweep again submits nothing; another grid or token does")
def again():
    with Daemon() as d:
        grid = ["--model", "ok", *SEEDS]
        first = swept(d, *grid)
        assert swept(d, *grid) == first
        assert "g1: 4 jobs, submitted before" in sweep(d, *grid).stderr
        assert swept(d, *grid, "--token", "x")["group"] == 2
        assert swept(d, *grid, "--token", "x")["group"] == 2
        assert swept(d, "--model", "ok", "--calibrate-seed", "0,1,3")["group"] == 3
        assert sweep(d, *grid, "--detach").stdout == "g1: 4 jobs, submitted before\n"
        assert len(d.ask("list")["jobs"]) == 11


@test("a sweep that is interrupted goes on, also through a restart of the daemon")
def interrupted():
    with Daemon() as d:
        command = [NETQCTL, "sweep", "--dataset", "images", "--model", "ok,slow", *SEEDS]
        process = subprocess.Popen(command, env=dict(os.environ, NETQ_SOCKET=d.socket), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: d.ask("list", state="running", model="slow")["jobs"], what="a slow job")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate()
        assert process.returncode == -signal.SIGINT and "g1 goes on without this terminal" in messages, messages
        d.kill()
        d.start()
        d.write("go", "")
        result = swept(d, *command[4:])
        assert result["group"] == 1 and [c["job"] for c in result["cells"]] == list(range(1, 9))
        assert all(c["state"] == "done" for c in result["cells"]) and len(d.ask("list")["jobs"]) == 8


@test("cells that fail are named with their reasons; the others are compared")
def failures():
    with Daemon() as d:
        done = sweep(d, "--model", "ok,fail,garbage", "--preset", "w8a8", "--calibrate-seed", "1,2", code=1)
        lines = [line for line in done.stdout.split("\n") if line.startswith("job ")]
        assert len(lines) == 2 and all("image a/a_0.jpg cannot be read" in line for line in lines), done.stdout
        assert lines[0].startswith("job 3, fail calibrate.seed=1, failed: "), lines
        assert "4 of 6 cells done" in done.stdout and "STATE" in done.stdout
        cells = swept(d, "--model", "ok,fail,garbage", "--preset", "w8a8", "--calibrate-seed", "1,2", code=1)["cells"]
        assert [c["state"] for c in cells] == ["done", "done", "failed", "failed", "done", "done"]
        assert cells[2]["top1"] is None and "cannot be read" in cells[2]["reason"]


@test("a wrong cell is named before anything is submitted; --dry-run submits nothing")
def refused():
    with Daemon() as d:
        error = sweep(d, "--model", "ok", "--preset", "w8a8,float", "--quantized", "/x", code=2).stderr
        assert error.startswith("netqctl: ") and "w8a8" in error, error
        error = sweep(d, "--model", "ok,nobody", code=1).stderr
        assert "nobody" in error, error
        text = sweep(d, "--model", "ok,mobilenet_v2", "--bits", "8/8,4/8", "--dry-run").stdout
        assert "mobilenet_v2 4/8" in text and "4 cells, about " in text, text
        assert d.ask("list")["jobs"] == []


@test("the drawing is XML: a circle a cell, frontier cells filled, their names as text")
def drawing():
    with Daemon() as d:
        path = d.path("frontier.svg")
        result = swept(d, "--model", "ok,mobilenet_v2", "--preset", "float,w8a8", *SEEDS, "--svg", path)
        root = xml.etree.ElementTree.parse(path).getroot()
        assert root.tag == SVG + "svg"
        circles = [c for c in root.iter(SVG + "circle") if c.find(SVG + "title") is not None]
        cells = [c for c in result["cells"] if c["drop"] is not None]
        assert len(circles) == len(cells) == 8
        assert sum(c.get("fill") != "#fff" for c in circles) == sum(c["frontier"] for c in cells)
        texts = [t.text for t in root.iter(SVG + "text")]
        assert "5 images of images" in texts and "compression ratio, %" in texts, texts
        assert texts.count("w8a8 calibrate.seed=0") == 2, texts


@test("the real worker on the demo network: eight cells, their files, and a frontier that no cell beats")
def real():
    demo = os.path.join(SOURCE, "tests/data/demo")
    more = "[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s/shufflenet_v2_x0_5.pth\n" \
           "[dataset demo]\npath = %s/images\n" % (demo, demo)
    with Daemon(worker=os.path.join(BUILD, "netq-worker"), more=more) as d:
        grid = ["--dataset", "demo", "--model", "demo", "--preset", "float,w8a8", "--bits", "8/8,6/6,4/8,4/4",
                "--calibrate-samples", "16", "--weights-rounding", "nearest,squant", "--limit", "100"]
        done = d.netqctl("sweep", "--json", *grid, "--svg", d.path("x.svg"), stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        cells = result["cells"][1:]
        assert len(cells) == 8 and result["cells"][0]["cell"]["preset"] == "float"
        for cell in cells:
            assert 0.2 < cell["agreement"] <= 1 and cell["standard_error"] is not None
            assert 0 < cell["kl"] < 5
            beaten = any(o["compression_ratio"] >= cell["compression_ratio"] and o["top1"] >= cell["top1"] and
                         (o["compression_ratio"], o["top1"]) != (cell["compression_ratio"], cell["top1"])
                         for o in cells)
            assert cell["frontier"] == (not beaten), cell
        ratios = [next(c["compression_ratio"] for c in cells if c["job"] == n) for n in result["frontiers"][0]["jobs"]]
        assert ratios == sorted(ratios, reverse=True) and len(ratios) >= 2
        xml.etree.ElementTree.parse(d.path("x.svg"))


run()
