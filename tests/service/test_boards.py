"""leaderboard, diff, datasets, models."""
from tap import Daemon, refused, run, test

# The fake worker's seed: labels are (line + seed) % 2, right is images - 1 - seed % 3, the model's size a quarter of
# the checkpoint plus seed % 5.


def done(d, model="ok", seed=0, **spec):
    n = d.submit(model, spec={"calibrate": {"seed": seed}, **spec})
    assert d.wait(n)["state"] == "done"
    return n


@test("the leaderboard ranks by ratio, then by tenths of top-1; equal rows share a rank")
def ranks():
    with Daemon() as d:
        worse_size = done(d, seed=1)
        first, tied = done(d, seed=0), done(d, seed=15)
        less_right = done(d, seed=5)  # same size as 0 and 15, fewer right
        (board,) = d.ask("leaderboard")["boards"]
        rows = [(r["rank"], r["job"], r["top1_tenths"], r["new_model_size"]) for r in board["rows"]]
        assert rows == [(1, first, 800, 350), (1, tied, 800, 350), (3, less_right, 400, 350),
                        (4, worse_size, 600, 351)], rows
        assert board["dataset"] == "images" and board["rows"][0]["compression_ratio"] == 75.0
        assert board["rows"][0]["weights_bits"] == 8 and board["rows"][0]["preset"] == "baseline"


@test("float, partial, failed and cancelled jobs do not rank, nor those with unreadable images")
def unranked():
    with Daemon() as d:
        done(d, preset="float", calibrate={"source": "none"})
        done(d, limit=3)
        done(d, unreadable="wrong")  # the fake worker then found one
        d.wait(d.submit("fail"))
        d.ask("cancel", job=d.submit("ok", hold=True))
        assert d.ask("leaderboard")["boards"] == []
        whole = done(d, limit=5)  # a limit that cuts nothing
        assert [r["job"] for b in d.ask("leaderboard")["boards"] for r in b["rows"]] == [whole]
        assert d.ask("leaderboard", dataset="other")["boards"] == []
        assert d.ask("leaderboard", model="slow")["boards"] == []


@test("the configuration says what unreadable images do to a job that does not")
def unreadable():
    with Daemon(limits="unreadable = wrong") as d:
        assert d.job(d.submit("ok", hold=True))["spec"]["unreadable"] == "wrong"
        assert d.job(d.submit("ok", spec={"unreadable": "fail"}, hold=True))["spec"]["unreadable"] == "fail"


@test("a group of several models has a row of means, when all of it ranks")
def groups():
    with Daemon() as d:
        models = ("ok", "mobilenet_v2")
        specs = [{"model": m, "dataset": "images", "calibrate": {"seed": s}} for s, m in enumerate(models)]
        whole = d.ask("submit", specs=specs)
        sweep = d.ask("submit", specs=[specs[0], {**specs[0], "weights": {"bits": 4}}])
        broken = d.ask("submit", specs=[specs[0], {"model": "fail", "dataset": "images"}])
        for n in whole["jobs"] + sweep["jobs"] + broken["jobs"]:
            d.wait(n)
        boards = d.ask("leaderboard")["boards"]
        grouped = [r for b in boards for r in b["rows"] if "group" in r]
        (row,) = grouped
        assert row["group"] == whole["group"] and row["model"] == "mobilenet_v2+ok", row
        assert abs(row["compression_ratio"] - (75.0 + 100 * (1 - 351 / 1400)) / 2) < 1e-9
        assert row["top1_tenths"] == 700 and row["top1"] == 70.0
        assert [b["rows"][0]["model"] for b in boards] == ["mobilenet_v2", "ok", "mobilenet_v2+ok"]


@test("diff counts changed labels by class and names images in the sampler's order")
def diff():
    with Daemon() as d:
        a, same, b = done(d, seed=0), done(d, seed=2), done(d, seed=1)
        reply = d.ask("diff", a=a, b=same)
        assert reply["images"] == 5 and reply["changed"] == 0 and reply["classes"] == reply["examples"] == []
        reply = d.ask("diff", a=a, b=b)
        assert reply["changed"] == 5 and reply["a_right"] + reply["b_right"] == 5
        assert {c["name"]: (c["class"], c["images"], c["changed"]) for c in reply["classes"]} == \
            {"a": (0, 3, 3), "b": (1, 2, 2)}
        # torch.randperm(5, generator=torch.Generator().manual_seed(1562)) of a_0 a_1 a_2 b_0 b_1
        files = ["a/a_0.jpg", "a/a_1.jpg", "a/a_2.jpg", "b/b_0.jpg", "b/b_1.jpg"]
        assert sorted(e["image"] for e in reply["examples"]) == files
        for line, e in enumerate(reply["examples"]):
            assert (e["a"], e["b"]) == (line % 2, (line + 1) % 2) and e["class"] == "ab".index(e["image"][0])
        short = done(d, seed=0, limit=2)
        assert d.ask("diff", a=short, b=b)["images"] == 2
        refused("missing", "there is no job 99", d.ask, "diff", a=a, b=99)
        held = d.submit("ok", hold=True)
        refused("wrong_state", "only done jobs", d.ask, "diff", a=a, b=held)


@test("diff refuses jobs on different images, and a dataset that changed")
def diff_datasets():
    with Daemon(more="[dataset other]\npath = other\n") as d:
        d.write("other/a/1.jpg", "x")
        a, b = done(d), done(d, dataset="other")
        refused("wrong_state", "different images", d.ask, "diff", a=a, b=b)
        d.write("images/a/a_9.jpg", "one more")
        refused("wrong_state", "has changed since job", d.ask, "diff", a=a, b=a)


@test("agreement with the float network is asked of the worker once a float job is there")
def agreement():
    with Daemon() as d:
        before = done(d)
        partial = done(d, preset="float", calibrate={"source": "none"}, limit=2)
        still = done(d)
        small = done(d, limit=2)
        done(d, preset="float", calibrate={"source": "none"})
        after = done(d)
        got = [d.job(n)["result"]["agreement"] for n in (before, partial, still, small, after)]
        assert got == [None, None, None, 1.0, 1.0], got


@test("datasets says when a known checkpoint misses its float accuracy")
def verdicts():
    import time
    many = (("a", 60), ("b", 40))
    more = "[model good]\narch = resnet18\ncheckpoint = share/model.pth\nfloat_top1 = 99\n" \
           "[model bad]\narch = resnet18\ncheckpoint = share/model.pth\nfloat_top1 = 99.9\n"
    with Daemon(images=many, more=more) as d:
        (listed,) = d.ask("datasets")["datasets"]
        assert (listed["images"], listed["classes"], listed["labels"], listed["float"]) == (100, 2, "folders", [])
        for model in ("good", "ok"):
            done(d, model, preset="float", calibrate={"source": "none"})
        (listed,) = d.ask("datasets", name="images")["datasets"]
        scores = {f["model"]: (f["verdict"], f["expected"]) for f in listed["float"]}
        assert scores == {"good": ("ok", 99.0), "ok": ("unknown checkpoint", None)}, scores
        refused("missing", "no dataset x", d.ask, "datasets", name="x")
        models = {m["name"]: m for m in d.ask("models")["models"]}
        assert models["good"]["float_top1"] == 99.0 and models["ok"]["float_top1"] is None
        assert models["ok"]["bytes"] == 1400 and len(models["ok"]["sha256"]) == 64
        time.sleep(0)
    # 4 of 5 right where 99.9 are expected: below by more than four standard errors.
    with Daemon(images=(("a", 3), ("b", 2)), more=more) as d:
        done(d, "bad", preset="float", calibrate={"source": "none"})
        verdict = d.ask("datasets")["datasets"][0]["float"][0]["verdict"]
        assert verdict.startswith("your labels or preprocessing are wrong: float bad has top-1 80.00 %"), verdict


@test("datasets warns of folders that are wnids without a class list, and of what cannot be listed")
def warnings():
    with Daemon(more="[dataset wnids]\npath = w\n[dataset gone]\npath = nowhere\n[dataset listed]\npath = w\n"
                     "wnids = list.txt\n") as d:
        d.write("w/n01440764/1.jpg", "x")
        d.write("w/n01443537/1.jpg", "x")
        d.write("list.txt", "n01443537\nn01440764\n")
        sets = {s["name"]: s for s in d.ask("datasets")["datasets"]}
        assert "no class list is given" in sets["wnids"]["warnings"][0]
        assert "nowhere" in sets["gone"]["warnings"][0] and sets["gone"]["images"] is None
        assert sets["listed"]["warnings"] == [] and sets["listed"]["images"] == 2
        assert sets["listed"]["fingerprint"] != sets["wnids"]["fingerprint"]


run()
