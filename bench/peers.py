"""PyTorch and onnxruntime as conversations, and each at its best."""

import os

import inputs as inputs_module
import programs

HERE = os.path.dirname(os.path.abspath(__file__))

# name -> (modules, kinds of network, the variable that names a Python which has the modules)
KINDS = {
    "PyTorch": ("torch, torchvision, PIL, numpy", ("int8",), "NETQ_TORCH_PYTHON"),
    "onnxruntime": ("onnxruntime, onnx, numpy", ("int8", "float"), "NETQ_ORT_PYTHON"),
}
found = {}  # name -> (its Python, None), or (None, why there is none); looked for once


def python_of(name):
    """(Python, None) or (None, why not): the one that the variable names, else Debian's."""
    if name not in found:
        modules, _, variable = KINDS[name]
        python = os.environ.get(variable) or "/usr/bin/python3"
        why = inputs_module.python_without(python, modules)
        found[name] = (None, "%s; %s names a Python that has it" % (why, variable)) if why else (python, None)
    return found[name]


class Peers:
    """The peers that are installed, each a running program on `threads` CPUs; the others are named as skipped."""

    def __init__(self, report, inputs, arch, threads, names=tuple(KINDS)):
        self.inputs, self.arch, self.threads, self.open = inputs, arch, threads, {}
        for name in names:
            python, why = python_of(name)
            if python is None:
                report.skip(name, why)
            else:
                self.open[name] = self.start(name)

    def start(self, name):
        common, python = [self.inputs.crops, self.threads], python_of(name)[0]
        if name == "onnxruntime":
            command = [
                python,
                os.path.join(HERE, "peer_ort.py"),
                self.inputs.model(self.arch),
                self.inputs.nodes(self.arch),
                *common,
            ]
            return programs.Conversation(command, self.threads)
        command = [
            python,
            os.path.join(HERE, "peer_torch.py"),
            self.arch,
            self.inputs.checkpoint(self.arch) or "-",
            *common,
            self.inputs.images,
        ]
        # Without these Debian's PyTorch spends its time in page faults.
        return programs.Conversation(
            command,
            self.threads,
            MALLOC_MMAP_MAX_="0",
            MALLOC_TRIM_THRESHOLD_="8000000000",
            OMP_NUM_THREADS=str(self.threads),
            OMP_PROC_BIND="true",
        )

    def choose(self, batches, seconds):
        """{name: (kind, batch)} of the highest rate of each; each is then started anew, so that its memory is that
        form's alone."""
        chosen = {}
        for name, peer in self.open.items():
            kinds = KINDS[name][1]
            tried = {(kind, batch): peer.rate("rate", kind, batch, seconds) for kind in kinds for batch in batches}
            chosen[name] = max(tried, key=tried.get)
            if len(tried) == 1:
                continue
            peer.close()
            self.open[name] = self.start(name)
            self.open[name].rate("rate", *chosen[name], 0.01)
        return chosen

    def close(self):
        for peer in self.open.values():
            peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
