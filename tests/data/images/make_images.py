#!/usr/bin/python3
"""Makes the image fixtures in this folder, expected.txt (what Pillow and torchvision make of each), and
the seeds of tests/fuzz/fuzz_image.c.

    /usr/bin/python3 make_images.py            files and list
    /usr/bin/python3 make_images.py expected   the list alone, from the files that are there

Needs Pillow, torchvision, a C compiler and libjpeg. A line of expected.txt is the file's name and
the sha256 of its crop (u8 [224][224][3]), or "refused". Made with Debian 12's Pillow 9.4, libjpeg-turbo 2.1.5.
"""
import hashlib
import io
import os
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

import numpy
from PIL import Image
from torchvision import transforms

HERE = os.path.dirname(os.path.abspath(__file__))


def picture(width, height, channels=3):
    """Gradients, a disc, stripes and a little texture: something for every filter and every transform."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    u, v = x / max(width - 1, 1), y / max(height - 1, 1)
    planes = []
    for c in range(channels):
        plane = 255 * (u if c % 2 == 0 else 1 - v)
        plane = numpy.where((u - 0.5) ** 2 + (v - 0.4) ** 2 < 0.05 + 0.03 * c, 230 - 70 * c, plane)
        plane = numpy.where((x + (c + 1) * y) % 37 < 4, 20 + 60 * c, plane)
        plane = plane + numpy.where(x < 40, 12, 0) * numpy.sin(x * (0.9 + c / 3)) * numpy.cos(y * 1.1)
        planes.append(plane.clip(0, 255).round())
    return numpy.stack(planes, axis=2).astype(numpy.uint8)


def with_pillow(samples, mode, **options):
    out = io.BytesIO()
    Image.fromarray(samples.squeeze(), mode).save(out, "JPEG", quality=75, **options)
    return out.getvalue()


class Encoder:
    def __init__(self, folder):
        self.program = os.path.join(folder, "encode_jpeg")
        subprocess.run(["cc", "-O1", "-o", self.program, os.path.join(HERE, "encode_jpeg.c"), "-ljpeg"], check=True)

    def __call__(self, samples, space, sampling, *options):
        height, width, channels = samples.shape
        return subprocess.run([self.program, str(width), str(height), str(channels), space, sampling, *options],
                              input=samples.tobytes(), stdout=subprocess.PIPE, check=True).stdout


def segments(data):
    """(marker, position of its 0xFF, end) of a JPEG's segments up to and with the first SOS."""
    at, found = 2, []
    while True:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2:at + 4])[0]
        found.append((marker, at, at + 2 + length))
        if marker == 0xDA:
            return found
        at += 2 + length


def segment(data, *markers):
    return next(s for s in segments(data) if s[0] in markers)


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def sof_patched(data, precision=8, size=None, marker=None):
    kind, at, _ = segment(data, 0xC0, 0xC1, 0xC2)
    height, width = size or struct.unpack(">HH", data[at + 5:at + 9])
    data = patched(data, at + 4, bytes([precision]) + struct.pack(">HH", height, width))
    return patched(data, at + 1, bytes([marker or kind]))


def scan_ends(data):
    """Where each scan of a progressive file ends: the positions of the markers that follow."""
    ends, at = [], segment(data, 0xDA)[2]
    while at < len(data) - 1:
        if data[at] == 0xFF and data[at + 1] not in (0, *range(0xD0, 0xD8)):
            ends.append(at)
            if data[at + 1] == 0xD9:
                return ends
            while data[at + 1] != 0xDA:
                at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
            at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        at += 1
    return ends


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, interlace=False, extra=b""):
    """samples: int [H][W][channels] in 0..2^depth-1. Every row uses another filter."""
    height, width, channels = samples.shape

    def packed(row):
        if depth == 16:
            return row.astype(">u2").tobytes()
        bits = numpy.unpackbits(row.astype(numpy.uint8).reshape(-1, 1), axis=1)[:, 8 - depth:]
        return numpy.packbits(bits).tobytes()

    step = max(1, channels * depth // 8)

    def filtered(rows):
        out, above = b"", None
        for y, row in enumerate(rows):
            line = packed(row)
            above = above or bytes(len(line))
            kind = y % 5
            left = bytes(step) + line[:-step] if len(line) > step else bytes(len(line))
            corner = bytes(step) + above[:-step] if len(line) > step else bytes(len(line))
            left, corner = left[:len(line)], corner[:len(line)]

            def paeth(a, b, c):
                pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                return a if pa <= pb and pa <= pc else b if pb <= pc else c

            predict = {0: lambda a, b, c: 0, 1: lambda a, b, c: a, 2: lambda a, b, c: b,
                       3: lambda a, b, c: (a + b) // 2, 4: paeth}[kind]
            out += bytes([kind]) + bytes((s - predict(a, b, c)) & 255 for s, a, b, c in zip(line, left, above, corner))
            above = line
        return out

    if interlace:
        data = b"".join(filtered(samples[y0::dy, x0::dx]) for x0, y0, dx, dy in ADAM7
                        if samples[y0::dy, x0::dx].size)
    else:
        data = filtered(samples)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlace))
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(data, 9))
            + png_chunk(b"IEND", b""))


def jpeg_files(encode):
    wide, tall = picture(150, 110), picture(91, 133)
    grey = picture(150, 110, 1)
    cmyk = picture(120, 100, 4)
    f = {}
    f["grey"] = with_pillow(grey, "L")
    f["cmyk"] = with_pillow(cmyk, "CMYK")
    f["cmyk_plain"] = encode(cmyk, "cmyk", "1x1,1x1,1x1,1x1")
    f["ycck"] = encode(cmyk, "ycck", "1x1,1x1,1x1,1x1")
    f["ycck_420"] = encode(cmyk, "ycck", "2x2,1x1,1x1,2x2")
    f["rgb_stored"] = encode(wide, "rgb", "1x1,1x1,1x1")
    for name, sampling in (("444", "1x1"), ("422", "2x1"), ("440", "1x2"), ("411", "4x1"), ("420", "2x2"), ("410", "4x2")):
        f["sampling_" + name] = encode(tall, "ycc", sampling + ",1x1,1x1")
    f["progressive"] = encode(wide, "ycc", "2x2,1x1,1x1", "progressive")
    f["progressive_grey"] = encode(grey, "grey", "1x1", "progressive")
    f["progressive_cmyk"] = encode(cmyk, "ycck", "2x1,1x1,1x1,2x1", "progressive")
    f["arithmetic"] = encode(wide, "ycc", "2x1,1x1,1x1", "arithmetic")
    f["arithmetic_progressive"] = encode(wide, "ycc", "2x2,1x1,1x1", "arithmetic", "progressive")
    comment = b"\xff\xfe" + struct.pack(">H", 65000) + bytes(64998)  # libjpeg meets the end of Pillow's first piece
    f["arithmetic_beyond_64_kib"] = f["arithmetic"][:2] + comment + f["arithmetic"][2:]
    f["sampling_420_beyond_64_kib"] = f["sampling_420"][:2] + comment + f["sampling_420"][2:]
    f["one_scan_a_component"] = encode(wide, "ycc", "2x2,1x1,1x1", "scans")
    f["restart_markers"] = encode(wide, "ycc", "2x2,1x1,1x1", "restart")
    f["two_components"] = encode(picture(64, 48, 2), "unknown", "1x1,1x1")
    for width, height in ((1, 1), (1, 300), (300, 1), (2, 700), (1, 2000), (2000, 3), (17, 19), (256, 256), (256, 301),
                          (401, 256), (224, 224), (255, 257), (333, 251), (515, 259), (443, 601)):
        f[f"size_{width}x{height}"] = encode(picture(width, height), "ycc", "2x2,1x1,1x1")
    big = picture(1037, 1031, 1).repeat(8, axis=0).repeat(8, axis=1)[:8243, :8290]
    f["reduced_32_times"] = encode(big // 128 * 200, "grey", "1x1", "arithmetic")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    f["exif_orientation"] = with_pillow(wide, "RGB", exif=exif)
    return f


def damaged_jpeg_files(f):
    d = {}
    baseline, progressive = f["sampling_420"], f["progressive"]
    body = segment(baseline, 0xDA)[2]
    middle = body + (len(baseline) - body) // 2
    d["empty"] = b""
    d["header_only"] = baseline[:20]
    d["cut_in_tables"] = baseline[:segment(baseline, 0xC4)[1] + 9]
    d["cut_in_half"] = baseline[:middle]
    d["cut_progressive"] = progressive[:len(progressive) * 3 // 5]
    d["no_end_marker"] = baseline[:-2]
    for name in ("grey", "sampling_444", "sampling_422", "restart_markers", "cmyk_plain"):
        d["no_end_marker_" + name] = f[name][:-2]
    d["half_an_end_marker"] = baseline[:-1]
    d["cut_three_bytes"] = baseline[:-3]
    d["progressive_no_end_marker"] = progressive[:-2]
    d["early_end_marker"] = baseline[:middle] + b"\xff\xd9"
    d["progressive_first_scan"] = progressive[:scan_ends(progressive)[0]] + b"\xff\xd9"
    d["progressive_some_scans"] = progressive[:scan_ends(progressive)[4]] + b"\xff\xd9"
    d["trailing_garbage"] = baseline + bytes(range(256))
    d["trailing_picture"] = baseline + f["grey"]
    d["tables_first"] = (b"\xff\xd8" + b"".join(baseline[a:b] for m, a, b in segments(baseline) if m in (0xDB, 0xC4))
                         + b"\xff\xd9" + baseline)
    d["garbage_before_marker"] = baseline[:segment(baseline, 0xC4)[1]] + b"junk" + baseline[segment(baseline, 0xC4)[1]:]
    d["flipped_bits"] = patched(baseline, middle, bytes(b ^ 0x15 for b in baseline[middle:middle + 6]).replace(b"\xff", b"\xfe"))
    d["zeros_inside"] = patched(baseline, middle, bytes(60))
    d["marker_inside"] = patched(baseline, middle, b"\xff\xd3")
    d["unknown_marker_inside"] = patched(baseline, middle, b"\xff\x02")
    restart = f["restart_markers"]
    at = restart.index(b"\xff\xd2", segment(restart, 0xDA)[2])
    d["restart_missing"] = restart[:at] + restart[at + 2:]
    d["restart_wrong"] = patched(restart, at, b"\xff\xd6")
    _, dht, end = segment(baseline, 0xC4)
    d["bad_huffman_table"] = patched(baseline, dht + 5, b"\xff" * 16)
    d["no_quantization_table"] = b"".join([b"\xff\xd8"] + [baseline[a:b] for m, a, b in segments(baseline) if m != 0xDB]
                                          + [baseline[body:]])
    d["no_huffman_table"] = b"".join([b"\xff\xd8"] + [baseline[a:b] for m, a, b in segments(baseline) if m != 0xC4]
                                     + [baseline[body:]])
    d["twelve_bits"] = sof_patched(baseline, precision=12, marker=0xC1)
    d["lossless"] = sof_patched(baseline, marker=0xC3)
    d["above_179_megapixels"] = sof_patched(baseline, size=(13378, 13378))
    d["no_height"] = sof_patched(baseline, size=(0, 91))
    d["taller_than_its_data"] = sof_patched(baseline, size=(400, 91))
    return d


def png_files():
    rgb, grey = picture(70, 60).astype(int), picture(70, 60, 1).astype(int)
    alpha = (numpy.arange(70 * 60) % 256).reshape(60, 70, 1)
    palette = png_chunk(b"PLTE", bytes((i * 7 + c * 85) % 256 for i in range(200) for c in range(3)))
    f = {}
    f["rgb"] = png(rgb, 8, 2)
    f["rgb_interlaced"] = png(rgb, 8, 2, interlace=True)
    f["rgb_16_bits"] = png(rgb * 251 + 13, 16, 2)
    f["rgb_one_colour_transparent"] = png(rgb, 8, 2, extra=png_chunk(b"tRNS", struct.pack(">HHH", 20, 80, 140)))
    f["rgb_gamma"] = png(rgb, 8, 2, extra=png_chunk(b"gAMA", struct.pack(">I", 100000)))
    f["rgba"] = png(numpy.concatenate([rgb, alpha], axis=2), 8, 6)
    f["rgba_16_bits"] = png(numpy.concatenate([rgb, alpha], axis=2) * 255, 16, 6)
    f["grey"] = png(grey, 8, 0)
    f["grey_alpha"] = png(numpy.concatenate([grey, alpha], axis=2), 8, 4)
    f["grey_alpha_16_bits"] = png(numpy.concatenate([grey, alpha], axis=2) * 250, 16, 4)
    f["grey_16_bits"] = png(grey * 2, 16, 0)
    f["grey_16_bits_interlaced"] = png(grey * 2, 16, 0, interlace=True)
    for depth in (1, 2, 4):
        f[f"grey_{depth}_bits"] = png(grey >> (8 - depth), depth, 0)
        colours = bytes((i * 90 + c * 33) % 256 for i in range(2 ** depth) for c in range(3))
        f[f"palette_{depth}_bits"] = png(grey >> (8 - depth), depth, 3, extra=png_chunk(b"PLTE", colours))
    f["palette_interlaced"] = png(grey >> 4, 4, 3, True, png_chunk(b"PLTE", bytes(range(48))))
    f["palette_transparent"] = png(grey % 200, 8, 3, extra=palette + png_chunk(b"tRNS", bytes(range(0, 200, 2))))
    f["palette_too_short"] = png(grey, 8, 3, extra=palette)
    f["1x1_interlaced"] = png(rgb[:1, :1], 8, 2, interlace=True)
    f["3x300_interlaced"] = png(picture(3, 300).astype(int), 8, 2, interlace=True)
    f["reduced_32_times"] = png(numpy.repeat(numpy.repeat(picture(130, 131, 1).astype(int) >> 7, 64, 0), 64, 1), 1, 0)
    good = f["rgb"]
    f["cut_in_half"] = good[:len(good) // 2]
    f["no_end"] = good[:-12]
    f["bad_pixel_checksum"] = patched(good, len(good) - 16, b"\0\0\0\0")
    f["bad_header_checksum"] = patched(good, 29, b"\0\0\0\0")
    f["bad_deflate"] = patched(good, len(good) // 2, bytes(20))
    f["above_179_megapixels"] = good[:8] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 9000, 8, 2, 0, 0, 0)) + good[33:]
    return {"png_" + name: data for name, data in f.items()}


def fuzz_seeds(encode):
    """One tiny file of each kind."""
    small, cmyk = picture(20, 18), picture(20, 18, 4)
    f = {"grey": encode(small[:, :, :1], "grey", "1x1"),
         "cmyk": encode(cmyk, "cmyk", "1x1,1x1,1x1,1x1"),
         "ycck": encode(cmyk, "ycck", "2x1,1x1,1x1,2x1"),
         "rgb": encode(small, "rgb", "1x1,1x1,1x1"),
         "420": encode(small, "ycc", "2x2,1x1,1x1"),
         "411": encode(small, "ycc", "4x1,1x1,1x1"),
         "progressive": encode(small, "ycc", "2x2,1x1,1x1", "progressive"),
         "arithmetic": encode(small, "ycc", "1x1,1x1,1x1", "arithmetic"),
         "arithmetic_progressive": encode(small, "ycc", "1x1,1x1,1x1", "arithmetic", "progressive"),
         "scans": encode(small, "ycc", "1x2,1x1,1x1", "scans"),
         "restart": encode(small, "ycc", "1x1,1x1,1x1", "restart")}
    f["first_scan"] = f["progressive"][:scan_ends(f["progressive"])[0]] + b"\xff\xd9"
    samples = small.astype(int)
    colours = png_chunk(b"PLTE", bytes(range(48)))
    for interlace in (False, True):
        f[f"png_rgb_{interlace:d}"] = png(samples, 8, 2, interlace)
        f[f"png_grey_16_{interlace:d}"] = png(samples[:, :, :1] * 2, 16, 0, interlace)
        f[f"png_palette_{interlace:d}"] = png(samples[:, :, :1] >> 4, 4, 3, interlace, colours)
        f[f"png_grey_alpha_{interlace:d}"] = png(samples[:, :, :2], 8, 4, interlace)
    return f


def write_all(folder, files, extension):
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if old.endswith(extension):
            os.unlink(os.path.join(folder, old))
    for name, data in files.items():
        with open(os.path.join(folder, name + extension), "wb") as f:
            f.write(data)


def write_files():
    with tempfile.TemporaryDirectory() as folder:
        encode = Encoder(folder)
        jpegs, seeds = jpeg_files(encode), fuzz_seeds(encode)
    write_all(HERE, {**jpegs, **damaged_jpeg_files(jpegs), **png_files()}, ".JPEG")
    write_all(os.path.join(HERE, "..", "..", "fuzz", "corpus", "image"), seeds, ".img")


def write_expected():
    preprocess = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    with open(os.path.join(HERE, "expected.txt"), "w") as out:
        for name in sorted(os.listdir(HERE)):
            if not name.endswith(".JPEG"):
                continue
            try:
                with open(os.path.join(HERE, name), "rb") as f:
                    crop = preprocess(Image.open(f).convert("RGB")).tobytes()
                out.write(f"{name} {hashlib.sha256(crop).hexdigest()}\n")
            except Exception as e:  # Pillow raises many kinds
                print(f"{name}: {type(e).__name__}: {e}")
                out.write(f"{name} refused\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:] != ["expected"]:
        write_files()
    write_expected()
