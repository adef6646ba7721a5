#!/usr/bin/env python3
"""make bench: netq beside what else there is, as ratios measured in one run; docs/bench.md says how to read it.

bench.py [--networks A,B] [--parts A,B] [--output FILE]
bench.py --selftest    everything once on a small random network, without regard to the figures; TAP"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs  # noqa: E402
import selftest  # noqa: E402
import show  # noqa: E402
from inputs import Inputs  # noqa: E402
from parts import PARTS, Settings  # noqa: E402

NETWORKS = "resnet18,mobilenet_v2,shufflenet_v2_x1_0"


def measure(report, inputs, networks, parts, settings):
    for part in parts:
        title, function = PARTS[part]
        report.line("\n%s" % title)
        began = time.monotonic()
        report.data["parts"][part] = function(report, inputs, networks, settings)
        report.line("  (%.0f s)" % (time.monotonic() - began))


def names(text, known, what):
    chosen = text.replace(",", " ").split()
    for name in chosen:
        if known is not None and name not in known:
            sys.exit("bench.py: %s is no %s; there are %s" % (name, what, ", ".join(known)))
    return chosen


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--networks", default="")
    options.add_argument("--parts", default="")
    options.add_argument("--output", default="build/bench.json")
    options.add_argument("--selftest", action="store_true")
    options = options.parse_args()
    if options.selftest:
        return selftest.run()
    networks = names(options.networks or NETWORKS, None, "network")
    parts = names(options.parts or ",".join(PARTS), PARTS, "part")
    scratch = tempfile.mkdtemp(prefix="netq-bench-")
    try:
        report = show.Report(programs.program("ceilings", 0.01)["cpu"])
        report.line("%s, %d CPUs" % (report.data["cpu"].get("name"), len(programs.CPUS)))
        inputs = Inputs(scratch)
        measure(report, inputs, networks, parts, Settings())
        report.bars()
        with open(options.output, "w") as f:
            json.dump(report.data, f, indent=1)
            f.write("\n")
        report.line("\nwritten: %s" % options.output)
    except programs.Failed as failure:
        sys.exit("bench.py: %s" % failure)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
