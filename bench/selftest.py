"""The bench itself, tried once on a small network: every part runs and gives figures; no figure is judged. TAP."""

import os
import shutil
import tempfile

import programs
import show
from inputs import DEMO_IMAGES, Inputs
from parts import PARTS, Settings
from peers import KINDS, Peers, python_of

ARCH = "shufflenet_v2_x0_5"
CHECKPOINTS = os.path.dirname(DEMO_IMAGES)  # has one of that network


class Tap:
    def __init__(self):
        self.number = self.failures = 0

    def check(self, good, text):
        self.number += 1
        self.failures += not good
        print("%sok %d - %s" % ("" if good else "not ", self.number, text), flush=True)

    def skip(self, text, why):
        self.number += 1
        print("ok %d - %s # SKIP %s" % (self.number, text, why), flush=True)


def figures(value):
    """All numbers inside a result."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in figures(v)]
    if isinstance(value, list):
        return [n for v in value for n in figures(v)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def try_part(tap, report, inputs, part):
    try:
        result = report.data["parts"][part] = PARTS[part][1](report, inputs, [ARCH], Settings(small=True))
        good = result and figures(result) and min(figures(result)) >= 0
        tap.check(good, "%s: %d figures" % (part, len(figures(result))))
    except programs.Failed as failure:
        tap.check(False, "%s: %s" % (part, failure))


def arithmetic(tap):
    """What the tables are computed with, on figures whose answers are known."""
    spread = show.summary([4, 1, 3, 2])
    tap.check((spread["median"], spread["low"], spread["high"]) == (2.5, 1.75, 3.25), "median and quartiles")
    tap.check(
        show.percent(118e6, 0.5, 472) == 50, "per cent of a ceiling: 118 million in half a millisecond of 472 GMAC/s"
    )
    report = show.Report({"vendor": "AuthenticAMD", "family": "26"}, quiet=True)
    words = [report.bar("x", "y", 1.1, 1.2), report.bar("x", "y", 1.1, 1.2, less=True), report.bar("x", "y", 1.1, None)]
    tap.check(
        [b["met"] for b in report.data["bars"]] == [False, True] and words[0].endswith("MISSED") and words[2] == "",
        "bars are met or missed",
    )
    tap.check(
        report.generation == "Zen 5" and show.generation({"vendor": "GenuineIntel", "family": "6"}) == "Zen 4",
        "the CPU that the bars are of",
    )


def same_network(tap, inputs):
    """onnxruntime is given the network that netq scores: nearly all labels agree."""
    python, why = python_of("onnxruntime")
    if python is None:
        tap.skip("onnxruntime computes the same network", why)
        return
    report = show.Report({}, quiet=True)
    with Peers(report, inputs, ARCH, 1, names=("onnxruntime",)) as peers:
        theirs = peers.open["onnxruntime"].ask("labels")["labels"]
    with inputs.engine(ARCH) as rate:
        ours = rate.ask("labels")["labels"]
    same = sum(a == b for a, b in zip(ours, theirs))
    tap.check(same >= 0.9 * len(ours), "onnxruntime computes the same network: %d of %d labels" % (same, len(ours)))


def run():
    tap = Tap()
    arithmetic(tap)
    scratch = tempfile.mkdtemp(prefix="netq-bench-")
    try:
        os.environ["WEIGHTS"] = CHECKPOINTS
        images = os.path.join(scratch, "images")
        for group in sorted(os.listdir(DEMO_IMAGES)):
            os.makedirs(os.path.join(images, group))
            first = sorted(os.listdir(os.path.join(DEMO_IMAGES, group)))[0]
            shutil.copy(os.path.join(DEMO_IMAGES, group, first), os.path.join(images, group))
        report = show.Report({}, quiet=True)
        inputs = Inputs(scratch, crops=10, images=images)
        for part in PARTS:
            try_part(tap, report, inputs, part)
        for skipped in report.data["skipped"]:
            if skipped["what"] in KINDS:
                tap.skip("beside " + skipped["what"], skipped["why"])
        same_network(tap, inputs)
        report.bars()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("1..%d" % tap.number)
    return tap.failures > 0
