"""The parts of the bench: each measures one thing on all networks, prints it, and returns it for bench.json."""

import os

import inputs as inputs_module
import programs
import show
from peers import Peers

# The bare loop that a set of kernels is built on.
CEILING_OF = {
    "avx2": "vpmaddwd+vpaddd 256",
    "avxvnni": "vpdpbusd 256",
    "avx512vnni": "vpdpbusd 512",
    "amx": "tdpbusd tiles",
}


class Settings:
    """How much is measured; `small` is for seeing that everything runs."""

    def __init__(self, small=False):
        self.pairs, self.rounds, self.slice = (1, 1, 0.01) if small else (25, 11, 0.6)
        self.sweep, self.batches = (0.01, (1,)) if small else (0.4, (1, 4, 16, 32))
        self.file_rounds, self.samples, self.ceiling_seconds = (1, 8, 0.2) if small else (5, 1000, 4)


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
        for isa in ("DEFAULT", "AVX512_CORE_VNNI"):
            r = programs.program("layers", inputs.model(arch), settings.pairs, ONEDNN_MAX_CPU_ISA=isa)
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
        with programs.Conversation([os.path.join(programs.BUILD, "bench", "rate"), inputs.model(arch)], 1) as rate:
            available = rate.about["available"]
        results[arch] = {}
        for name in available:
            r = results[arch][name] = programs.program("layers", inputs.model(arch), 0, NETQ_CPU=name)
            ms, ceiling, text, bar = r["engine"]["median"], r["ceilings"].get(CEILING_OF.get(name)), "", ""
            if ceiling:
                r["share"] = r["macs"] / (ms * 1e6) / ceiling
                text = "%.1f of %s" % (100 * r["share"], CEILING_OF[name])
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
        with programs.Conversation(
            [os.path.join(programs.BUILD, "bench", "rate"), inputs.model(arch), inputs.crops], 2
        ) as rate:
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


def score(inputs, arch, threads):
    """One job over all images: (images a second of the scoring stage, peak of RssAnon)."""
    model = inputs.model(arch)
    checkpoint = inputs.checkpoint(arch) or model
    spec = {"model": arch, "preset": "quantized", "quantized": model}
    metrics, peak = programs.job(
        inputs.folder("score"),
        spec,
        arch,
        checkpoint,
        inputs.images,
        wnids=inputs.wnids,
        quantized=model,
        threads=threads,
    )
    return metrics["result"]["images"] / programs.stage(metrics, "score"), peak


def files(report, inputs, networks, settings):
    """From JPEG files to labels: whole jobs of netq-worker beside PyTorch and Pillow."""
    results = {}
    inputs.read_images()
    report.line("  %d images of %s" % (len(inputs.files), inputs.images))
    for arch in networks:
        results[arch] = {}
        report.line("\n  %s, images/s from JPEG files" % arch)
        with Peers(report, inputs, arch, 1, names=("PyTorch",)) as peers:
            chosen = peers.choose(settings.batches, settings.sweep)
            for threads in [t for t in (1, 2) if t <= len(programs.CPUS)]:
                results[arch][threads] = from_files(
                    report, inputs, arch, threads, peers, chosen if threads == 1 else {}, settings
                )
    return results


def from_files(report, inputs, arch, threads, peers, chosen, settings):
    ours, theirs, peaks = [], [], []
    for _ in range(settings.file_rounds):
        images, peak = score(inputs, arch, threads)
        ours.append(images)
        peaks.append(peak)
        for name, (_, batch) in chosen.items():
            theirs.append(peers.open[name].rate("files", batch))
    result = {"cold": show.summary(ours), "anonymous": max(peaks)}
    bar = report.bar(
        "RssAnon while scoring, %d thread%s" % (threads, "s" if threads > 1 else ""),
        arch,
        result["anonymous"],
        show.MEMORY_BAR + show.MEMORY_BAR_THREAD * threads,
        less=True,
    )
    report.line(
        "    netq, %d thread%s %s   RssAnon %.1f MB  %s"
        % (threads, "s" if threads > 1 else " ", show.spread(result["cold"], "%.1f"), result["anonymous"] / 1e6, bar)
    )
    if theirs:
        result["PyTorch"] = show.summary(theirs)
        result["ratio"] = show.summary([a / b for a, b in zip(ours, theirs)])
        bar = report.bar(
            "from JPEG files / PyTorch and Pillow, 1 thread",
            arch,
            result["ratio"]["median"],
            show.BARS["files"].get(arch),
        )
        report.line(
            "    PyTorch, Pillow  %s   netq is %s times as fast  %s"
            % (show.spread(result["PyTorch"], "%.1f"), show.spread(result["ratio"]), bar)
        )
    return result


def calibrate(report, inputs, networks, settings):
    """Seconds that the baseline's calibration takes, on all threads."""
    results = {}
    for arch in networks:
        checkpoint = inputs.checkpoint(arch)
        if checkpoint is None:
            report.skip("calibration of %s" % arch, "no checkpoint in WEIGHTS or NETQ_SHARED/data/weights")
            continue
        threads = len(programs.CPUS)
        spec = {
            "model": arch,
            "preset": "baseline",
            "calibrate": {"source": "gaussian", "samples": settings.samples, "seed": 1},
            "limit": 1,
        }
        metrics, peak = programs.job(
            inputs.folder("calibrate"), spec, arch, checkpoint, inputs_module.DEMO_IMAGES, threads=threads
        )
        results[arch] = {
            "samples": settings.samples,
            "threads": threads,
            "anonymous": peak,
            "seconds": programs.stage(metrics, "calibrate"),
        }
        report.line(
            "  %-20s %d samples, %d threads: %.2f s   RssAnon %.1f MB"
            % (arch, settings.samples, threads, results[arch]["seconds"], peak / 1e6)
        )
    return results


PARTS = {
    "ceilings": ("Bare multiply loops", ceilings),
    "layers": ("Convolutions and linear layers, one thread, beside oneDNN int8", layers),
    "kernels": ("Each set of kernels that this CPU runs, convolutions and linear layers, one thread", kernels),
    "network": ("Whole networks beside PyTorch and onnxruntime", network),
    "files": ("From files to labels", files),
    "calibrate": ("Calibration", calibrate),
}
