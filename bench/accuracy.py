#!/usr/bin/env python3
"""The table of methods: what each preset loses at each pair of bit widths, through a daemon of its own under
build/accuracy. `make accuracy` runs it; docs/accuracy.md says how to read what it prints.

The queue under build/accuracy is kept: a cell that it has done is not computed again unless its spec, the program, the
checkpoint or the images changed; one that failed is tried again. Settings come from the environment:

  NETQ_SHARED  folder with data/weights/MODEL-rebuilt.pth and, where classes are wnids, data/wnids.txt
  DATA         labelled images, one folder a class (default NETQ_SHARED/data/val227)
  MODELS       default: the challenge's three
  PRESETS      default: every preset that quantizes. One may be varied: w8a8:weights.rounding=squant:calibrate.seed=2
  BITS         weights/activations, default 8/8,6/6,4/8,4/4; where both are 4 or less the first and the last layer stay at 8
  CALIBRATE    an image folder or .npy to calibrate on, for the presets that take noise and those varied by
               calibrate.source=file
  LIMIT        score only so many images
  THREADS      of a job, default: all CPUs
"""
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests/service"))
from netqd import BUILD, Netqd

HOME = os.path.join(SOURCE, os.environ.get("ACCURACY_HOME", "build/accuracy"))
MODELS = "resnet18,mobilenet_v2,shufflenet_v2_x1_0"
BITS = "8/8,6/6,4/8,4/4"
COLUMNS = ("method", "W/A", "top-1 %", "drop", "agreement %", "KL", "ratio %", "minutes")


class Failed(Exception):
    """Ends the run with one sentence."""


def setting(name, default=""):
    return os.environ.get(name, "") or default


def words(text):
    return [word for word in re.split(r"[,\s]+", text) if word]


def digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def file_digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def bit_pairs(text):
    pairs = []
    for word in words(text):
        match = re.fullmatch(r"([2-8])/([2-8])", word)
        if not match:
            raise Failed('BITS: "%s" is not two numbers of 2 to 8, as 4/8' % word)
        pairs.append((int(match[1]), int(match[2])))
    return pairs


class Lab:
    """The daemon, and netqctl asked for JSON."""

    def __init__(self, models):
        shared = setting("NETQ_SHARED")
        if not shared:
            raise Failed("NETQ_SHARED: name the folder with data/weights")
        data = os.path.realpath(setting("DATA", os.path.join(shared, "data/val227")))
        self.calibrate = setting("CALIBRATE") and os.path.realpath(setting("CALIBRATE"))
        self.limit = int(setting("LIMIT", "0"))
        self.name = re.sub(r"[^A-Za-z0-9]+", "_", os.path.basename(data)).strip("_")[:60] or "data"
        self.folder = tempfile.mkdtemp(prefix="netq-accuracy-")  # a socket's path is short
        os.makedirs(HOME, exist_ok=True)
        socket = os.path.join(self.folder, "socket")
        lines = ["[daemon]", "socket = " + socket, "state = " + os.path.join(HOME, "state"), "private = yes",
                 "worker = " + os.path.join(BUILD, "netq-worker"), "threads = " + setting("THREADS", "0")]
        if self.calibrate:
            lines += ["[limits]", "roots = " + os.path.dirname(self.calibrate)]
        for model in models:
            path = os.path.realpath(os.path.join(shared, "data/weights", model + "-rebuilt.pth"))
            if not os.path.exists(path):
                raise Failed("there is no %s for model %s" % (path, model))
            lines += ["[model %s]" % model, "checkpoint = " + path]
        lines += ["[dataset %s]" % self.name, "path = " + data]
        if os.path.exists(os.path.join(shared, "data/wnids.txt")):
            lines.append("wnids = " + os.path.realpath(os.path.join(shared, "data/wnids.txt")))
        config = os.path.join(HOME, "netqd.conf")
        with open(config, "w") as f:
            f.write("\n".join(lines) + "\n")
        self.daemon = Netqd(config, socket, os.path.join(HOME, "netqd.log"))

    def __enter__(self):
        try:
            self.daemon.start()
        except AssertionError as error:
            raise Failed("%s; see %s" % (error, self.daemon.log)) from None
        try:
            program = file_digest(os.path.join(BUILD, "netq-worker"))
            fingerprint = self.ask("datasets", self.name)["datasets"][0]["fingerprint"]
            checkpoints = {m["name"]: m["sha256"] for m in self.ask("models")["models"]}
            self.basis = lambda model: (program, str(fingerprint), str(checkpoints[model]))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.daemon.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *arguments, spec=None):
        """What netqctl prints as JSON; Failed with its sentence where it refuses."""
        done = self.daemon.netqctl(*arguments, "--json", input=spec and json.dumps(spec), stderr=-1)
        if done.returncode != 0:
            raise Failed(done.stderr.strip().removeprefix("netqctl: ") or "netqctl ended with %d" % done.returncode)
        return json.loads(done.stdout)

    def resolve(self, spec, *flags):
        return self.ask("submit", "--spec", "-", "--dry-run", *flags, spec=spec)["plans"][0]["spec"]

    def job(self, number):
        return self.ask("status", str(number))

    def submit(self, spec):
        """The number of the job with this spec: an earlier one's, unless that failed."""
        token = digest(json.dumps(spec, sort_keys=True), *self.basis(spec["model"]))
        while True:
            reply = self.ask("submit", "--spec", "-", "--token", token, spec=spec)
            number = reply["jobs"][0]
            if not reply.get("duplicate") or self.job(number)["state"] not in ("failed", "cancelled"):
                return number
            token = digest(token, str(number))

    def wait(self, number):
        """The job's object once it has ended; progress is shown meanwhile."""
        self.daemon.netqctl("wait", str(number))
        job = self.job(number)
        if job["state"] not in ("done", "failed", "cancelled"):
            raise Failed("job %d is %s; see %s" % (number, job["state"], self.daemon.log))
        return job

    def metrics(self, number):
        path = os.path.join(self.folder, "metrics.json")
        self.daemon.netqctl("get", str(number), "metrics.json", "-o", path, check=True)
        with open(path) as f:
            return json.load(f)


def base_spec(lab, model, preset):
    return {"model": model, "preset": preset, "dataset": lab.name, "limit": lab.limit}


def cell_spec(lab, model, method, weights, activations):
    """The resolved spec of a cell. The method is a preset, and what else of it is varied."""
    preset, *variations = method.split(":")
    flags = ["--set=" + variation for variation in variations]
    spec = base_spec(lab, model, preset)
    spec["weights"] = {"bits": weights}
    spec["activations"] = {"bits": activations}
    if lab.calibrate and "calibrate.source=file" in variations:
        spec["calibrate"] = {"file": lab.calibrate}
    resolved = lab.resolve(spec, *flags)
    if max(weights, activations) <= 4 and not resolved["keep_8bit"]:
        spec["keep_8bit"] = ["first", "last"]
    if lab.calibrate and resolved["calibrate"]["source"] in ("gaussian", "uniform", "file"):
        spec["calibrate"] = {"source": "file", "file": lab.calibrate}
    return lab.resolve(spec, *flags)


def submit_cells(lab, model, methods, pairs):
    """The cells of one model, each with its job or the reason why there is none; a scheme that two presets agree on
    stands once, under the first of them."""
    cells, known = [], set()
    for weights, activations in pairs:
        for method in methods:
            cell = {"model": model, "method": method, "weights_bits": weights, "activations_bits": activations}
            try:
                cell["spec"] = cell_spec(lab, model, method, weights, activations)
                cell["weights_bits"] = cell["spec"]["weights"]["bits"]
                cell["activations_bits"] = cell["spec"]["activations"]["bits"]
                scheme = json.dumps({**cell["spec"], "preset": ""}, sort_keys=True)
                if scheme in known:
                    continue
                known.add(scheme)
                cell["job"] = lab.submit(cell["spec"])
            except Failed as error:
                cell.update(job=None, state="refused", reason=str(error))
            cells.append(cell)
    return cells


def fill(lab, cell, float_job):
    job = lab.wait(cell["job"])
    cell.update(state=job["state"], reason=job["reason"])
    if job["state"] != "done":
        return
    result, paired = job["result"], lab.ask("diff", str(float_job["job"]), str(cell["job"]))
    kl = lab.metrics(cell["job"])["result"]["kl_from_float"]
    cell.update(images=result["images"], top1=result["top1"], float_top1=float_job["result"]["top1"],
                drop=paired["drop"], standard_error=paired["standard_error"], lost=paired["lost"], won=paired["won"],
                agreement=None if result["agreement"] is None else 100 * result["agreement"],
                kl=kl and kl["mean"], compression_ratio=result["compression_ratio"],
                new_model_size=result["new_model_size"], minutes=(job["ended"] - job["started"]) / 60)


def decimals(value, digits):
    return "" if value is None else "%.*f" % (digits, value)


def row(cell):
    bits = "%s/%s" % (cell["weights_bits"], cell["activations_bits"])
    if cell["state"] != "done":
        return (cell["method"], bits, cell["state"], "", "", "", "", "")
    return (cell["method"], bits, decimals(cell["top1"], 2),
            "%.2f ± %.2f" % (cell["drop"], cell["standard_error"]), decimals(cell["agreement"], 2),
            decimals(cell["kl"], 4), decimals(cell["compression_ratio"], 2), decimals(cell["minutes"], 2))


def markdown(table):
    """One table a model, then why cells are missing."""
    lines, missing = [], []
    for model in table["models"]:
        cells = [cell for cell in table["cells"] if cell["model"] == model["model"]]
        samples = ", methods that take noise calibrated on %s" % os.path.basename(table["calibrate"]) \
            if table["calibrate"] else ""
        lines += ["**%s**: float %.2f %% on %d images of %s%s." % (model["model"], model["top1"], model["images"],
                                                                  table["dataset"], samples), "",
                  "| " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
        lines += ["| " + " | ".join(row(cell)) + " |" for cell in cells] + [""]
        missing += ["- %s %s %s %s: %s" % (model["model"], *row(cell)[:3], cell["reason"])
                    for cell in cells if cell["state"] != "done"]
    return "\n".join(lines + missing).rstrip() + "\n"


def save(table):
    for name, text in (("accuracy.json", json.dumps(table, indent=1) + "\n"), ("accuracy.md", markdown(table))):
        path = os.path.join(os.path.dirname(HOME), name)
        with open(path + ".tmp", "w") as f:
            f.write(text)
        os.rename(path + ".tmp", path)


def note(text):
    print(text, file=sys.stderr, flush=True)


def fill_table(lab, models, methods, pairs):
    table = {"dataset": lab.name, "limit": lab.limit, "calibrate": lab.calibrate or None, "models": [], "cells": []}
    floats = {model: lab.submit(lab.resolve(base_spec(lab, model, "float"))) for model in models}
    for model in models:
        job = floats[model] = lab.wait(floats[model])
        if job["state"] != "done":
            raise Failed("the float network %s: %s" % (model, job["reason"]))
        table["models"].append({"model": model, "job": job["job"], "images": job["result"]["images"],
                                "top1": job["result"]["top1"]})
    waiting = [cell for model in models for cell in submit_cells(lab, model, methods, pairs)]
    for number, cell in enumerate(waiting, 1):
        if cell["job"]:
            fill(lab, cell, floats[cell["model"]])
        table["cells"].append(cell)
        save(table)
        note("%d/%d %s %s" % (number, len(waiting), cell["model"], "  ".join(filter(None, row(cell)))))
    return table


def main():
    models, pairs = words(setting("MODELS", MODELS)), bit_pairs(setting("BITS", BITS))
    with Lab(models) as lab:
        every = [p["name"] for p in lab.ask("spec")["presets"] if p["name"] not in ("float", "quantized")]
        methods = words(setting("PRESETS")) or every
        for method in methods:
            if method.split(":")[0] not in every:
                raise Failed('PRESETS: "%s" is none of %s' % (method, ", ".join(every)))
        table = fill_table(lab, models, methods, pairs)
    print(markdown(table), end="")
    return 0 if all(cell["state"] == "done" for cell in table["cells"]) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit("accuracy: %s" % failure)
    except KeyboardInterrupt:
        sys.exit("accuracy: stopped; the same command goes on from here")
