#!/usr/bin/python3
"""Makes the small files of tests/data/checkpoints: what torch.save writes, and what strangers might.

Needs Debian's python3-torch for the first half. The second half is written opcode by opcode. Run it from
anywhere; it overwrites the files, which are committed, so that the tests need no Python. Storage keys in
legacy files are addresses, so those differ from run to run.
"""
import collections
import io
import os
import pickle
import struct
import warnings
import zipfile

import torch

warnings.filterwarnings("ignore")
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")


def put(name, data):
    with open(os.path.join(FOLDER, name), "wb") as f:
        f.write(data)


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


# What torch.save writes -----------------------------------------------------------------------------


def tensors():
    """Every dtype, and views of one storage: transposed, offset, expanded. Element i is i."""
    base = torch.arange(24, dtype=torch.float32)
    state = collections.OrderedDict()
    state["matrix"] = base.view(2, 3, 4)
    state["transposed"] = base.view(2, 3, 4).permute(2, 0, 1)
    state["offset"] = base[5:11:2]
    state["expanded"] = base[7:8].expand(2, 3)
    state["scalar"] = torch.tensor(41, dtype=torch.int64)
    state["empty"] = torch.zeros(0, 3)
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.int16, torch.int8,
                  torch.uint8):
        state[str(dtype)[6:]] = torch.arange(3).to(dtype)
    state["bool"] = torch.tensor([True, False, True])
    return state


def small_network():
    """Through a module, so that the state_dict carries _metadata."""
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([0.5, -0.25]).view(2, 1, 1, 1))
    return net.state_dict()


def torch_files():
    put("zip.pth", saved(tensors()))
    put("legacy.pth", saved(tensors(), _use_new_zipfile_serialization=False))
    put("protocol4.pth", saved(tensors(), pickle_protocol=4))
    put("legacy_protocol5.pth", saved(tensors(), _use_new_zipfile_serialization=False, pickle_protocol=5))
    put("metadata.pth", saved(small_network()))
    put("parameter.pth", saved({"w": torch.nn.Parameter(torch.tensor([1.5, 2.5]))}))
    put("nested.pth", saved({"epoch": 3, "state_dict": small_network()}))
    put("epoch.pth", saved({"w": torch.zeros(1), "epoch": 3}))
    put("tensor_alone.pth", saved(torch.zeros(2)))
    put("whole_model.pth", saved(torch.nn.Linear(1, 1), _use_new_zipfile_serialization=False))
    put("quantized.pth", saved({"w": torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.qint8)}))
    put("quantized_channel.pth", saved({"w": torch.quantize_per_channel(
        torch.ones(2, 2), torch.tensor([0.5, 1.0]), torch.tensor([0, 0]), 0, torch.qint8)}))
    put("complex.pth", saved({"w": torch.zeros(1, dtype=torch.complex64)}))


# Opcode by opcode -----------------------------------------------------------------------------------

PROTO = b"\x80\x02"
MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    data = value.to_bytes((value.bit_length() // 8) + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(*parts):
    return b"(" + b"".join(parts) + b"t"


def storage(key="0", count=4, kind="FloatStorage", tail=b"N"):
    """A legacy persistent id; tail=b"" for the zip format's five parts."""
    return group(text("storage"), b"ctorch\n%s\n" % kind.encode(), text(key), text("cpu"), integer(count),
                 tail) + b"Q"


def tensor(where, offset=0, shape=(2, 2), stride=(2, 1)):
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + group(
        where, integer(offset), group(*map(integer, shape)), group(*map(integer, stride)), b"\x89",
        b"ccollections\nOrderedDict\n)R") + b"R"


def state_dict(*pairs):
    return PROTO + b"ccollections\nOrderedDict\n)R(" + b"".join(text(k) + v for k, v in pairs) + b"u."


def legacy(pickled, keys=("0",), count=4, info=None, data=None):
    system = pickle.dumps(info or {"protocol_version": 1001, "little_endian": True}, 2)
    data = struct.pack("<4f", 1, 2, 3, 4) if data is None else data
    return (MAGIC + pickle.dumps(1001, 2) + system + pickled + pickle.dumps(list(keys), 2)
            + b"".join(struct.pack("<q", count) + data for _ in keys))


def archive(pickled, entries=None, folder="archive", method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    if entries is None:
        entries = [("data/0", struct.pack("<4f", 1, 2, 3, 4))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w") as z:
            z.writestr(zipfile.ZipInfo(folder + "/data.pkl"), pickled)
            for name, data in entries:
                z.writestr(zipfile.ZipInfo(folder + "/" + name), data, method)
    return buffer.getvalue()


def old_files():
    """Python 2 and PyTorch before 0.4: byte strings, pairs, Parameter, storage views."""
    def short(value):
        return b"U" + bytes([len(value)]) + value.encode()

    view = group(short("storage"), b"ctorch\nFloatStorage\n", short("0"), short("cpu"), b"K\x04",
                 group(short("9"), b"K\x01", b"K\x03")) + b"Q"
    value = b"ctorch._utils\n_rebuild_tensor\n" + group(view, b"K\x01", b"K\x02\x85", b"K\x01\x85") + b"R"
    parameter = b"ctorch.nn.parameter\nParameter\n" + value + b"\x85R" + group(b"\x88", b"\x89", b"N") + b"b"
    pairs = b"](](" + short("w") + parameter + b"ee"
    put("python2.pth", legacy(PROTO + b"ccollections\nOrderedDict\n" + pairs + b"\x85R."))


def hostile_pickles():
    good = state_dict(("w", tensor(storage())))
    system = PROTO + b"cposix\nsystem\n" + text("touch /tmp/netq-was-here") + b"\x85R."
    put("os_system_legacy.pth", legacy(system))
    put("os_system_bare.pth", system)
    put("os_system_zip.pth", archive(system))
    put("os_system_stack_global.pth", legacy(b"\x80\x04" + text("os") + text("system") + b"\x93" + b")R."))
    put("eval_deep_in_dict.pth", legacy(state_dict(("w", b"c__builtin__\neval\n" + text("1") + b"\x85R"))))
    put("handmade_legacy.pth", legacy(good))
    put("big_endian.pth", legacy(good, info={"protocol_version": 1001, "little_endian": False}))
    put("wrong_protocol.pth", MAGIC + pickle.dumps(1002, 2))
    put("no_magic.pth", pickle.dumps({"a": 1}, 2))
    put("protocol0.pth", b"\x80\x00" + b"(dp0\n.")
    put("offset_outside.pth", legacy(state_dict(("w", tensor(storage(), offset=1)))))
    put("offset_negative.pth", legacy(state_dict(("w", tensor(storage(), offset=-1)))))
    put("stride_outside.pth", legacy(state_dict(("w", tensor(storage(), stride=(3, 1))))))
    put("stride_negative.pth", legacy(state_dict(("w", tensor(storage(), stride=(-2, 1))))))
    put("stride_overflow.pth", legacy(state_dict(("w", tensor(storage(), shape=(3, 2), stride=(2**62, 2**62))))))
    put("stride_unused.pth", legacy(state_dict(("w", tensor(storage(), shape=(1, 4), stride=(2**63 - 1, 1))))))
    put("shape_overflow.pth", legacy(state_dict(("w", tensor(storage(), shape=(2**32, 2**32), stride=(0, 0))))))
    put("shape_huge.pth", legacy(state_dict(("w", tensor(storage(), shape=(2**20, 2**20), stride=(0, 0))))))
    put("shape_negative.pth", legacy(state_dict(("w", tensor(storage(), shape=(-2, 2))))))
    put("nine_dimensions.pth", legacy(state_dict(("w", tensor(storage(), shape=(1,) * 9, stride=(1,) * 9)))))
    put("stride_missing.pth", legacy(state_dict(("w", tensor(storage(), stride=(1,))))))
    put("view_outside.pth", legacy(state_dict(("w", tensor(storage(
        tail=group(text("9"), integer(2), integer(3))))))))
    put("storage_huge.pth", legacy(state_dict(("w", tensor(storage(count=2**62)))), count=2**62))
    put("storage_other_size.pth", legacy(good, count=3))
    put("storage_unknown.pth", legacy(good, keys=("0", "1")))
    put("storage_twice.pth", legacy(good, keys=("0", "0")))
    put("storage_missing.pth", legacy(good, keys=()))
    put("storage_two_types.pth", legacy(state_dict(
        ("v", tensor(storage())), ("w", tensor(storage(kind="IntStorage"))))))
    put("name_twice.pth", legacy(state_dict(("w", tensor(storage())), ("w", tensor(storage())))))
    put("name_with_nul.pth", legacy(state_dict(("w\0x", tensor(storage())))))
    put("name_not_text.pth", legacy(PROTO + b"}K\x01" + tensor(storage()) + b"s."))
    put("no_tensors.pth", legacy(state_dict(), keys=()))
    put("deep_marks.pth", legacy(PROTO + b"(" * 100 + b"t" * 100 + b"."))
    put("deep_tuples.pth", legacy(PROTO + b"N" + b"\x85" * 1000 + b"."))
    put("deep_lists.pth", legacy(PROTO + b"]" * 1000 + b"a" * 999 + b"."))
    put("list_in_itself.pth", legacy(PROTO + b"]q\x00" + b"h\x00a" * 100 + b"."))
    put("memo_huge.pth", legacy(PROTO + b"Nr\xff\xff\xff\xff."))
    put("memo_unwritten.pth", legacy(PROTO + b"h\x07."))
    put("text_huge.pth", legacy(PROTO + b"X\xff\xff\xff\xffabc."))
    put("text8_huge.pth", legacy(b"\x80\x04\x8d" + b"\xff" * 8 + b"abc."))
    put("frame_huge.pth", legacy(b"\x80\x04\x95" + b"\xff" * 8 + b"N."))
    put("long_huge.pth", legacy(PROTO + b"\x8b\xff\xff\xff\x7f."))
    put("stack_empty.pth", legacy(PROTO + b"\x87."))
    put("mark_missing.pth", legacy(PROTO + b"Nt."))
    put("mark_crossed.pth", legacy(PROTO + b"N(\x85."))
    put("stop_early.pth", legacy(PROTO + b"."))
    put("append_to_none.pth", legacy(PROTO + b"NNa."))
    put("odd_dictionary.pth", legacy(PROTO + b"}(Nu."))
    put("build_on_list.pth", legacy(PROTO + b"]}b."))
    put("call_storage_type.pth", legacy(PROTO + b"ctorch\nFloatStorage\n)R."))
    put("call_text.pth", legacy(PROTO + text("x") + b")R."))
    put("persistent_module.pth", legacy(PROTO + group(text("module"), b"N", b"N", b"N") + b"Q."))
    put("opcode_inst.pth", legacy(PROTO + b"(iposix\nsystem\n."))
    put("opcode_extension.pth", legacy(PROTO + b"\x82\x01."))
    put("global_endless.pth", legacy(PROTO + b"c" + b"a" * 400))


def hostile_archives():
    good = state_dict(("w", tensor(storage(tail=b""))))
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    put("handmade_zip.pth", archive(good))
    put("zip_bomb.pth", archive(good, [("data/0", bytes(1 << 22))], method=zipfile.ZIP_DEFLATED))
    put("zip_twice.pth", archive(good, [("data/0", numbers), ("data/0", numbers)]))
    put("zip_no_pickle.pth", archive(good, folder="archive/deeper"))
    put("zip_no_storage.pth", archive(good, []))
    put("zip_short_storage.pth", archive(good, [("data/0", numbers[:12])]))
    put("zip_big_endian.pth", archive(good, [("data/0", numbers), ("byteorder", b"big")]))
    put("zip_little_endian.pth", archive(good, [("data/0", numbers), ("byteorder", b"little")]))
    put("zip_torchscript.pth", archive(good, [("data/0", numbers), ("constants.pkl", PROTO + b").")]))
    put("zip_key_outside.pth", archive(state_dict(("w", tensor(storage(key="../data.pkl", tail=b""))))))

    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as z:
        for folder in ("a", "b"):
            z.writestr(zipfile.ZipInfo(folder + "/data.pkl"), good)
    put("zip_two_pickles.pth", two.getvalue())

    data = bytearray(archive(good))
    data[data.index(numbers) + 1] ^= 1
    put("zip_damaged.pth", bytes(data))

    data = bytearray(archive(good))
    central = data.rindex(b"PK\x01\x02")  # the storage's
    struct.pack_into("<II", data, central + 20, 0x7fffffff, 0x7fffffff)
    put("zip_size_lie.pth", bytes(data))

    data = bytearray(archive(good))
    end = data.rindex(b"PK\x05\x06")
    central = struct.unpack_from("<I", data, end + 16)[0]
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 56, 1 << 56, end - central, central)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    struct.pack_into("<HHII", data, end + 8, 0xffff, 0xffff, 0xffffffff, 0xffffffff)
    put("zip_entries_lie.pth", bytes(data[:end]) + record + locator + bytes(data[end:]))


os.makedirs(FOLDER, exist_ok=True)
torch_files()
old_files()
hostile_pickles()
hostile_archives()
