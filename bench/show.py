"""Tables of what was measured, and the bars that it is held to."""

# Ratios that netq has set itself, by what is measured and network. Those against oneDNN depend on the CPU.
BARS = {
    "layers": {
        "Zen 4": {"resnet18": 1.0, "mobilenet_v2": 1.4, "shufflenet_v2_x1_0": 1.3},
        "Zen 5": {"resnet18": 0.98, "mobilenet_v2": 1.3, "shufflenet_v2_x1_0": 1.2},
    },
    "avx2": {"resnet18": 0.65},
    "network": {"resnet18": 1.1, "mobilenet_v2": 1.7, "shufflenet_v2_x1_0": 2.5},
    "second thread": dict.fromkeys(("resnet18", "mobilenet_v2", "shufflenet_v2_x1_0"), 0.97),
    "files": {"resnet18": 1.2, "mobilenet_v2": 2.2, "shufflenet_v2_x1_0": 3.3},
}
MEMORY_BAR, MEMORY_BAR_THREAD = 150e6, 20e6
WARM_BAR = 0.93


def generation(cpu):
    """The CPU that the bars against oneDNN are taken of."""
    return "Zen 5" if cpu.get("vendor") == "AuthenticAMD" and cpu.get("family") == "26" else "Zen 4"


class Report:
    """Everything measured, as it will stand in bench.json; prints as it grows."""

    def __init__(self, cpu, quiet=False):
        self.data = {"format": 1, "cpu": cpu, "parts": {}, "bars": [], "skipped": []}
        self.generation, self.quiet = generation(cpu), quiet

    def line(self, text=""):
        if not self.quiet:
            print(text, flush=True)

    def skip(self, what, why):
        if {"what": what, "why": why} not in self.data["skipped"]:
            self.data["skipped"].append({"what": what, "why": why})
            self.line("  not measured: %s (%s)" % (what, why))

    def bar(self, what, network, value, bar, less=False):
        """Notes a bar and returns it in words; less: the value must stay below."""
        if bar is None:
            return ""
        met = bool(value <= bar if less else value >= bar)
        self.data["bars"].append({"what": what, "network": network, "value": value, "bar": bar, "met": met})
        return "bar %s: %s" % ("%.0f MB" % (bar / 1e6) if less else "%.2f" % bar, "met" if met else "MISSED")

    def bars(self):
        if not self.data["bars"]:
            return
        self.line("\nBars (%s)" % self.data["cpu"].get("name"))
        for b in self.data["bars"]:
            unit, scale = ("MB", 1e-6) if b["bar"] > 1e6 else ("", 1)
            self.line(
                "  %-6s %8.3f, bar %6.2f %-2s  %s: %s"
                % ("met" if b["met"] else "MISSED", b["value"] * scale, b["bar"] * scale, unit, b["network"], b["what"])
            )


def spread(s, form="%.3f"):
    """A median and its quartiles."""
    return (form + " [" + form + ", " + form + "]") % (s["median"], s["low"], s["high"])


def summary(values):
    """Median and quartiles of a list, in the form that the C programs print."""
    v = sorted(values)

    def at(part):
        where = part * (len(v) - 1)
        below = int(where)
        return v[below] + (where - below) * (v[min(below + 1, len(v) - 1)] - v[below])

    return {"median": at(0.5), "low": at(0.25), "high": at(0.75), "min": v[0], "max": v[-1], "count": len(v)}


# The bare loop that a set of kernels is built on.
CEILING_OF = {
    "avx2": "vpmaddwd+vpaddd 256",
    "avxvnni": "vpdpbusd 256",
    "avx512vnni": "vpdpbusd 512",
    "amx": "tdpbusd tiles",
}


def best_vector_loop(ceilings):
    """The fastest integer loop that is not AMX; None where there is none."""
    return max((name for name in ceilings if name.startswith("vp")), key=ceilings.get, default=None)


def percent(macs, ms, gmacs):
    return 100 * macs / (ms * 1e6) / gmacs if ms and gmacs else None


def add_percent(result):
    """Notes in a result of `layers` what netq and oneDNN reach of their ceilings, in total and by class: "ceiling" and
    "percent" name the loop and hold the figures."""
    ceilings = result["ceilings"]
    best = best_vector_loop(ceilings)
    loops = {"engine": CEILING_OF.get(result["kernels"], best)}
    if "onednn" in result:
        loops["onednn"] = "tdpbusd tiles" if "AMX" in result["isa"] and "tdpbusd tiles" in ceilings else best
    result["ceiling"] = loops
    result["percent"] = {
        side: {name: percent(result["macs"], result[side]["median"], rate) for name, rate in ceilings.items()}
        for side in loops
    }
    for c in result["classes"]:
        if c["macs"]:
            c["percent"] = {side: percent(c["macs"], c[side], ceilings.get(loop)) for side, loop in loops.items()}


def layer_table(report, result):
    add_percent(result)
    sides = [side for side in ("engine", "onednn") if side in result["ceiling"]]
    head = {"engine": "netq ms", "onednn": "oneDNN ms"}
    report.line(
        "  %-22s %6s %8s" % ("class", "layers", "MMAC")
        + "".join(" %10s %6s" % (head[side], "%") for side in sides)
        + "  oneDNN / netq" * (len(sides) > 1)
    )
    total = {
        "class": "convolution + linear",
        "layers": sum(c["layers"] for c in result["classes"] if c["macs"]),
        "macs": result["macs"],
        "percent": {side: result["percent"][side].get(result["ceiling"][side]) for side in sides},
        **{side: result[side]["median"] for side in sides},
    }
    for c in [*result["classes"], total]:
        text = "  %-22s %6d %8.1f" % (c["class"], c["layers"], c["macs"] / 1e6)
        for side in sides:
            share = c.get("percent", {}).get(side)
            text += (" %10.3f" % c[side] if side in c else "") + (" %6.1f" % share if share else " %6s" % "")
        report.line(text + ("  %.2f" % (c["onednn"] / c["engine"]) if c.get("onednn") else ""))
    report.line(
        "  whole network %.3f ms; %%: netq of %s%s"
        % (
            result["whole"]["median"],
            result["ceiling"]["engine"],
            ", oneDNN of %s" % result["ceiling"]["onednn"] if len(sides) > 1 else "",
        )
    )
    for side in sides:
        report.line(
            "  %s of each ceiling: %s"
            % (
                {"engine": "netq", "onednn": "oneDNN"}[side],
                ", ".join(
                    "%s (%.0f GMAC/s) %.1f %%" % (name, result["ceilings"][name], value)
                    for name, value in result["percent"][side].items()
                    if not name.startswith("fp32")
                ),
            )
        )
