"""The parts of the bench: each measures one thing on all networks, prints it, and returns it for bench.json."""

import jobs
import programs
import show
from peers import Peers


class Settings:
    """How much is measured; `small` is for seeing that everything runs."""

    def __init__(self, small=False):
        self.pairs, self.rounds, self.slice = (1, 1, 0.01) if small else (25, 11, 0.6)
        self.sweep, self.batches = (0.01, (1,)) if small else (0.4, (1, 4, 16, 32))
        self.file_rounds, self.samples, self.ceiling_seconds = (1, 8, 0.2) if small else (5, 1000, 4)
        self.warm_images = 20 if small else 2000


def ceilings(report, inputs, networks, settings):
    result = programs.program("ceilings", settings.ceiling_seconds)
    for loop in result["loops"]:
        report.line(
            "  %-22s %8.1f GMAC/s one thread  [%.1f, %.1f]"
            % (loop["name"], loop["gmacs"]["median"], loop["gmacs"]["low"], loop["gmacs"]["high"])
        )
    gain = result["second_thread"]
    if gain:
        report.line("  the best integer loop gains from the second thread: %s" % show.spread(gain))
    else:
        report.skip("what the second thread adds", "one CPU, or no vector loop")
    return result


def layers(report, inputs, networks, settings):
    results = {}
    for arch in networks:
        results[arch] = {}
        with inputs.engine(arch) as rate:
            vnni = {"NETQ_CPU": "avx512vnni"} if "avx512vnni" in rate.about["available"] else {}
        # Each side as it comes, which the bar is for; then both without AMX, as information.
        for isa, kernels in (("DEFAULT", {}), ("AVX512_CORE_VNNI", vnni)):
            r = programs.program("layers", inputs.model(arch), settings.pairs, ONEDNN_MAX_CPU_ISA=isa, **kernels)
            if r["isa"] in results[arch]:
                continue
            results[arch][r["isa"]] = r
            report.line(
                "\n  %s, netq %s (batch %d), oneDNN %s %s (batch %d)"
                % (arch, r["kernels"], r["batch"]["engine"], r["onednn_version"], r["isa"], r["batch"]["onednn"])
            )
            show.layer_table(report, r)
            bar = ""
            if isa == "DEFAULT":
                bar = report.bar(
                    "netq / oneDNN, convolution + linear (%s's bar)" % report.generation,
                    arch,
                    r["ratio"]["median"],
                    show.BARS["layers"][report.generation].get(arch),
                )
            report.line(
                "  netq is %s times as fast, %d pairs  %s" % (show.spread(r["ratio"]), r["ratio"]["count"], bar)
            )
    return results


def kernels(report, inputs, networks, settings):
    results = {}
    report.line(
        "  %-20s %-12s %10s %10s %8s  %s" % ("network", "kernels", "ms", "images/s", "GMAC/s", "% of its own ceiling")
    )
    for arch in networks:
        with inputs.engine(arch) as rate:
            available = rate.about["available"]
        results[arch] = {}
        for name in available:
            r = results[arch][name] = programs.program("layers", inputs.model(arch), 0, NETQ_CPU=name)
            ms, ceiling, text, bar = r["engine"]["median"], r["ceilings"].get(show.CEILING_OF.get(name)), "", ""
            if ceiling:
                r["share"] = r["macs"] / (ms * 1e6) / ceiling
                text = "%.1f of %s" % (100 * r["share"], show.CEILING_OF[name])
                if name == "avx2":
                    bar = report.bar(
                        "AVX2 kernels, share of the vpmaddwd+vpaddd ceiling",
                        arch,
                        r["share"],
                        show.BARS["avx2"].get(arch),
                    )
            report.line(
                "  %-20s %-12s %10.3f %10.1f %8.1f  %s  %s"
                % (arch, name, ms, 1e3 / r["whole"]["median"], r["macs"] / (ms * 1e6), text, bar)
            )
    return results


def second_thread(report, arch, rate, settings):
    """What the second thread adds to the engine, as a share of what it adds to a bare multiply loop."""
    shares, gains = [], []
    for _ in range(settings.rounds):
        bare = [rate.rate("multiply", threads, settings.slice) for threads in (1, 2)]
        engine = [rate.rate("engine", threads, settings.slice) for threads in (1, 2)]
        gains.append(engine[1] / engine[0])
        shares.append(gains[-1] / (bare[1] / bare[0]) if bare[0] else 0)
    result = {"gain": show.summary(gains), "share_of_bare_loop": show.summary(shares)}
    bar = report.bar(
        "gain of the second thread / that of a bare loop",
        arch,
        result["share_of_bare_loop"]["median"],
        show.BARS["second thread"].get(arch),
    )
    report.line(
        "  second thread: %s times the rate, %s of what a bare multiply loop gains  %s"
        % (show.spread(result["gain"]), show.spread(result["share_of_bare_loop"]), bar)
    )
    return result


def network(report, inputs, networks, settings):
    results = {}
    for arch in networks:
        results[arch] = {}
        with inputs.engine(arch) as rate:
            for threads in [t for t in (1, 2) if t <= len(programs.CPUS)]:
                report.line("\n  %s, %d thread%s, images/s" % (arch, threads, "s" if threads > 1 else ""))
                results[arch][threads] = compare(report, inputs, arch, threads, rate, settings)
            if len(programs.CPUS) > 1:
                results[arch]["second_thread"] = second_thread(report, arch, rate, settings)
    return results


def compare(report, inputs, arch, threads, rate, settings):
    """netq and each peer in turns, each peer with the form and batch that was best in a first look."""
    result = {"peers": {}}
    with Peers(report, inputs, arch, threads) as peers:
        chosen = peers.choose(settings.batches, settings.sweep)
        rates = {name: [] for name in ["netq", *chosen]}
        for _ in range(settings.rounds):
            rates["netq"].append(rate.rate("own" if threads == 1 else "engine", threads, settings.slice))
            for name, (kind, batch) in chosen.items():
                rates[name].append(peers.open[name].rate("rate", kind, batch, settings.slice))
        result["netq"] = dict(show.summary(rates["netq"]), anonymous=programs.anonymous(rate.process.pid))
        report.line(
            "    %-14s %-32s %s   %.0f MB"
            % ("netq", rate.about["kernels"], show.spread(result["netq"], "%.1f"), result["netq"]["anonymous"] / 1e6)
        )
        for name, (kind, batch) in chosen.items():
            ratio = show.summary([a / b for a, b in zip(rates["netq"], rates[name])])
            result["peers"][name] = dict(
                show.summary(rates[name]),
                kind=kind,
                batch=batch,
                ratio=ratio,
                version=peers.open[name].about["version"],
                anonymous=peers.open[name].ask("memory")["bytes"],
            )
            report.line(
                "    %-14s %-32s %s   %.0f MB   netq is %s times as fast"
                % (
                    name,
                    "%s %s, batch %d" % (result["peers"][name]["version"], kind, batch),
                    show.spread(result["peers"][name], "%.1f"),
                    result["peers"][name]["anonymous"] / 1e6,
                    show.spread(ratio),
                )
            )
    if result["peers"]:
        best = max(result["peers"], key=lambda name: result["peers"][name]["median"])
        bar = report.bar(
            "images/s / the best of PyTorch and onnxruntime, %d thread%s" % (threads, "s" if threads > 1 else ""),
            arch,
            result["peers"][best]["ratio"]["median"],
            show.BARS["network"].get(arch),
        )
        report.line("    best of them: %s  %s" % (best, bar))
    return result


PARTS = {
    "ceilings": ("Bare multiply loops", ceilings),
    "layers": ("Convolutions and linear layers, one thread, beside oneDNN int8", layers),
    "kernels": ("Each set of kernels that this CPU runs, convolutions and linear layers, one thread", kernels),
    "network": ("Whole networks beside PyTorch and onnxruntime", network),
    "files": ("From files to labels", jobs.files),
    "calibrate": ("Calibration", jobs.calibrate),
}
