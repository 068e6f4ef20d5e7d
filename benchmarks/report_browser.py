"""What reports look like in a real browser: nothing over the edge, nothing asked of the network.

Studies of every kind are run on small data, and their reports opened in Chromium at the widths of
a telephone and of a desk.  ``python report_browser.py FOLDER`` keeps the pages, and pictures of
each.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import append_csv
from sklearn.datasets import load_diabetes, load_digits
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklstruct import StructuredMapClassifier, plugins
from sklstruct.datasets import make_textured_blobs, simulate_cohort
from sklstruct.estimators.volumes import on_paths
from sklstruct.inspection import write_comparison, write_report
from sklstruct.studies import (
    Budget,
    Draws,
    FixedSplit,
    HoldOuts,
    KFold,
    LeaveSiteOut,
    Study,
    compare_studies,
)

WIDTHS = 390, 1280  # CSS pixels
LEAST_LETTER = 6.5  # CSS pixels, of 8 points in pictures
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# What is beyond the window or cut, which pictures are too small, and the height of the page.
MEASURE = """<script>
addEventListener("load", () => {
  const wide = [], cut = [], width = document.documentElement.clientWidth;
  for (const each of document.querySelectorAll("body *")) {
    const box = each.getBoundingClientRect();
    if (box.width && (box.right > width + 0.5 || box.left < -0.5)) wide.push(each.tagName);
    if (each.scrollWidth > each.clientWidth + 1 && each.clientWidth) cut.push(each.tagName);
  }
  const letters = [...document.images].map(i => 8 * 96 / 72 * i.clientWidth / i.naturalWidth);
  parent.postMessage(JSON.stringify({
    width: innerWidth, scroll: document.documentElement.scrollWidth, wide, cut,
    letter: Math.min(...letters), unseen: [...document.images].filter(i => !i.naturalWidth).length,
    height: document.documentElement.scrollHeight,
  }), "*");
});
</script>"""
# A frame, as a window cannot be as narrow as a telephone.
FRAME = """<!DOCTYPE html><title></title><script>
addEventListener("message", event => { document.title = event.data; });
</script><iframe src="measured.html" width="WIDTH" height="800" style="border: 0"></iframe>"""


def studies(folder):
    """Yield reports by name."""
    X, y = load_digits(return_X_y=True)
    models = {
        "svm": (make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1, 10, 100]}),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        "bayes:var_smoothing=0.01": GaussianNB(var_smoothing=0.01),
        "vote": VotingClassifier(
            [("a", GaussianNB(var_smoothing=0.1)), ("b", LogisticRegression(max_iter=300))],
            voting="soft",
        ),
    }
    draws = Study(
        Draws([50, 100, 300, 1000], 5), models, budget=Budget(fits=9), name="digits", target="digit"
    ).run(X / 16, y, progress=False)
    yield "digits", write_report(draws, folder / "digits")

    cohort = simulate_cohort(
        folder / "bids", n_subjects=48, shape=(8, 10, 8), spacing=20.0, sites=4
    )
    names = ("voxel_svm", "pca_svm")
    scans = {n: on_paths(plugins.lookup("estimator", n)()) for n in names}
    known = {"groups": cohort.groups, "left_out": cohort.report, "progress": False}
    for name, design in (("cohort", HoldOuts(10)), ("sites", LeaveSiteOut())):
        study = Study(design, scans, target="group", name="simulated heads")
        results = study.run(cohort.X, cohort.y, sites=cohort.sites, **known)
        yield name, write_report(results, folder / name)

    X, y = load_diabetes(return_X_y=True)
    values = []
    models = {
        "ridge": Ridge(),
        "forest": RandomForestRegressor(30),
        "mean": DummyRegressor(),
        "a regressor with quite a long label: alpha=10, fit_intercept=True": Ridge(10),
    }
    for ridge in (0.1, 100.0):
        study = Study(
            KFold(5, 2), {**models, "ridge": Ridge(ridge)}, name="diabetes", target="progression"
        )
        values.append(study.run(X, y, progress=False))
    yield "values", write_report(values[0], folder / "values")

    X, y = make_textured_blobs(40, 1, shape=(24, 24), random_state=0)
    models = {
        f"fcn:max_epochs={epochs}": StructuredMapClassifier(max_epochs=epochs)
        for epochs in (1, 3, 9)
    }
    study = Study(FixedSplit(np.arange(20)), models, name="blobs", target="boundary")
    yield "maps", write_report(study.run(X, y.astype(int), progress=False), folder / "maps")

    both = compare_studies(*values, names=["alpha = 0.1", "alpha = 100"])
    yield "comparison", write_comparison(both, folder / "comparison")


def run(browser, *options):
    """Run the browser once, with a profile of its own, and return what it prints."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *OFFLINE, f"--user-data-dir={profile}", *options]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=120
        ).stdout


def asked_for(browser, url, folder):
    """Return the addresses that the browser asks for while it shows a page."""
    log = folder / "net.json"
    run(browser, f"--log-net-log={log}", "--dump-dom", url)
    events = json.loads(log.read_text())["events"]
    log.unlink()
    asked = [event.get("params", {}) for event in events]
    # What the browser asks for by itself, as for its updates, has no page that asks.
    own = "not an origin"
    return {
        each["url"].partition("?")[0]
        for each in asked
        if each.get("url", "").startswith(("http", "ws")) and each.get("initiator", own) != own
    }


def measured(browser, page, width):
    """Return what the page measures of itself at a width."""
    copy, frame = page.with_name("measured.html"), page.with_name("frame.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", f"{MEASURE}</head>"))
    frame.write_text(FRAME.replace("WIDTH", str(width)))
    dom = run(browser, "--window-size=1400,1000", "--hide-scrollbars", "--dump-dom", frame.as_uri())
    copy.unlink()
    frame.unlink()
    title = dom.partition("<title>")[2].partition("</title>")[0]
    return json.loads(title)


def main(folder):
    """Check all reports; what is wrong is an error."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"skipped: no browser, none of {', '.join(BROWSERS)} is installed")
        return
    probe = folder / "probe.html"
    probe.write_text('<img src="http://127.0.0.1:9/probe.png">')
    assert asked_for(browser, probe.as_uri(), folder) == {"http://127.0.0.1:9/probe.png"}
    wrong = []
    for name, page in studies(folder):
        network = asked_for(browser, page.as_uri(), folder)
        for width in WIDTHS:
            found = measured(browser, page, width)
            picture = page.with_name(f"{width}.png")
            size = f"--window-size={width},{found['height']}"
            run(browser, size, "--hide-scrollbars", f"--screenshot={picture}", page.as_uri())
            over = found["scroll"] > found["width"] or bool(found["wide"] or found["cut"])
            row = {
                "report": name,
                "width": found["width"],
                "page_width": found["scroll"],
                "beyond": len(found["wide"]),
                "cut": len(found["cut"]),
                "pictures_not_shown": found["unseen"],
                "letters_px": found["letter"],
                "requests": len(network),
                "kilobytes": page.stat().st_size / 1000,
            }
            append_csv("report_browser.csv", row)
            small = found["letter"] < LEAST_LETTER
            if over or found["unseen"] or network or small or found["width"] != width:
                wrong.append(f"{name} at {width}: {found} {network}")
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
