"""The parts that are whole jobs of netq-worker: from files to labels, and calibration."""

import inputs as inputs_module
import programs
import show
from peers import Peers


def score(inputs, arch, threads, images, cache=None):
    """One job over the images of a folder: (images a second of its scoring stage, peak of RssAnon, metrics)."""
    model = inputs.model(arch)
    spec = {"model": arch, "preset": "quantized", "quantized": model}
    metrics, peak = programs.job(
        inputs.folder("score"),
        spec,
        arch,
        inputs.checkpoint(arch) or model,
        images,
        wnids=inputs.wnids,
        quantized=model,
        threads=threads,
        cache=cache,
    )
    return metrics["result"]["images"] / programs.stage(metrics, "score"), peak, metrics


def files(report, inputs, networks, settings):
    """From JPEG files and from the crop cache to labels; beside it PyTorch and Pillow."""
    results = {}
    inputs.read_images()
    cache, many = inputs.folder("cache"), inputs.repeated(settings.warm_images)
    report.line(
        "  %d images of %s; from the crop cache at least %d, some of them again and again"
        % (len(inputs.files), inputs.images, settings.warm_images)
    )
    for arch in networks:
        results[arch] = {}
        score(inputs, arch, len(programs.CPUS), many, cache)
        with Peers(report, inputs, arch, 1, names=("PyTorch",)) as peers, inputs.engine(arch) as rate:
            chosen = peers.choose(settings.batches, settings.sweep)
            for threads in [t for t in (1, 2) if t <= len(programs.CPUS)]:
                rounds = Rounds(inputs, arch, threads, (many, cache), rate, peers if threads == 1 else None, chosen)
                for _ in range(settings.file_rounds):
                    rounds.once(settings.slice)
                results[arch][threads] = rounds.result()
                show_files(report, arch, threads, results[arch][threads])
    return results


class Rounds:
    """Cold, warm, the engine alone and PyTorch in turns."""

    def __init__(self, inputs, arch, threads, cached, rate, peers, chosen):
        self.inputs, self.arch, self.threads, self.cached, self.rate = inputs, arch, threads, cached, rate
        self.peers, self.chosen = peers, chosen
        self.cold, self.warm, self.engine, self.torch, self.peak = [], [], [], [], 0

    def once(self, slice_seconds):
        images, peak, _ = score(self.inputs, self.arch, self.threads, self.inputs.images)
        self.cold.append(images)
        before = self.rate.rate("engine", self.threads, slice_seconds)
        images, warm_peak, metrics = score(self.inputs, self.arch, self.threads, *self.cached)
        self.engine.append((before + self.rate.rate("engine", self.threads, slice_seconds)) / 2)
        if metrics["run"]["cache"]["read"] != metrics["result"]["images"]:
            raise programs.Failed("the crop cache does not hold every image: %s" % metrics["run"]["cache"])
        self.warm.append(images)
        self.peak = max(self.peak, peak, warm_peak)
        if self.peers and "PyTorch" in self.chosen:
            self.torch.append(self.peers.open["PyTorch"].rate("files", self.chosen["PyTorch"][1]))

    def result(self):
        def ratio(above, below):
            return show.summary([a / b for a, b in zip(above, below)])

        result = {
            "cold": show.summary(self.cold),
            "warm": show.summary(self.warm),
            "engine": show.summary(self.engine),
            "warm_by_engine": ratio(self.warm, self.engine),
            "anonymous": self.peak,
        }
        if self.torch:
            result.update(torch=show.summary(self.torch), cold_by_torch=ratio(self.cold, self.torch))
        return result


def show_files(report, arch, threads, result):
    count = "%d thread%s" % (threads, "s" if threads > 1 else "")
    report.line("\n  %s, %s, images/s" % (arch, count))
    memory = show.MEMORY_BAR + show.MEMORY_BAR_THREAD * threads
    bar = report.bar("RssAnon while scoring, %s" % count, arch, result["anonymous"], memory, less=True)
    report.line(
        "    netq, JPEG files      %s   RssAnon %.1f MB  %s"
        % (show.spread(result["cold"], "%.1f"), result["anonymous"] / 1e6, bar)
    )
    bar = report.bar(
        "warm crop cache / the engine alone, %s" % count, arch, result["warm_by_engine"]["median"], show.WARM_BAR
    )
    report.line(
        "    netq, crop cache      %s   %s of the engine alone (%s)  %s"
        % (
            show.spread(result["warm"], "%.1f"),
            show.spread(result["warm_by_engine"]),
            show.spread(result["engine"], "%.1f"),
            bar,
        )
    )
    if "torch" in result:
        bar = report.bar(
            "from JPEG files / PyTorch and Pillow, %s" % count,
            arch,
            result["cold_by_torch"]["median"],
            show.BARS["files"].get(arch),
        )
        report.line(
            "    PyTorch, Pillow       %s   netq is %s times as fast  %s"
            % (show.spread(result["torch"], "%.1f"), show.spread(result["cold_by_torch"]), bar)
        )


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
