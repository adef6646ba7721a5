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


def best_vector_loop(ceilings):
    """Name and GMAC/s of the fastest integer loop that is not AMX."""
    name = max((n for n in ceilings if n.startswith("vp")), key=ceilings.get, default=None)
    return name, ceilings.get(name)


def percent(macs, ms, gmacs):
    return 100 * macs / (ms * 1e-3) / (gmacs * 1e9) if ms and gmacs else 0


def layer_table(report, result):
    loop, ceiling = best_vector_loop(result["ceilings"])
    peer = "onednn" in result
    report.line(
        "  %-22s %6s %8s %9s %6s" % ("class", "layers", "MMAC", "netq ms", "%")
        + (" %9s %6s %7s" % ("oneDNN ms", "%", "ratio") if peer else "")
    )
    for c in result["classes"]:
        text = "  %-22s %6d %8.1f %9.3f" % (c["class"], c["layers"], c["macs"] / 1e6, c["engine"])
        if c["macs"]:
            text += " %6.1f" % percent(c["macs"], c["engine"], ceiling)
        if "onednn" in c:
            text += " %9.3f %6.1f %7.2f" % (
                c["onednn"],
                percent(c["macs"], c["onednn"], ceiling),
                c["onednn"] / c["engine"],
            )
        report.line(text)
    text = "  %-22s %6s %8.1f %9.3f %6.1f" % (
        "convolution + linear",
        "",
        result["macs"] / 1e6,
        result["engine"]["median"],
        percent(result["macs"], result["engine"]["median"], ceiling),
    )
    if peer:
        text += " %9.3f %6.1f" % (
            result["onednn"]["median"],
            percent(result["macs"], result["onednn"]["median"], ceiling),
        )
    report.line(text)
    report.line(
        "  whole network %.3f ms; %% of %s, %.0f GMAC/s; convolution + linear of each ceiling: %s"
        % (
            result["whole"]["median"],
            loop,
            ceiling or 0,
            ", ".join(
                "%s %.1f" % (name, percent(result["macs"], result["engine"]["median"], gmacs))
                for name, gmacs in result["ceilings"].items()
                if not name.startswith("fp32")
            ),
        )
    )
