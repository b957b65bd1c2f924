#!/usr/bin/env python3
"""Compares clustering with scikit-learn and BayesPy, in one run, on shared rows.

Prints a table: agreement with the truth (adjusted Rand index, without outliers), number of clusters, and seconds for
15 starts each. The first run creates a Python environment below target/peers, which needs a network.

    cargo build --release && python3 benches/peers/cluster.py
    python3 benches/peers/cluster.py --rows 200,2000,20000 --seeds 3

Twenty thousand rows take the peers minutes per line; progress is printed on standard error. With EDDYLINE_DATA (or
../shared/data) the files there are measured, too. The peers' linear algebra uses one thread by default (see
OPENBLAS_NUM_THREADS): with two columns more threads only wait for one another.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HOUSE = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = HOUSE / "target" / "peers"
PACKAGES = ["numpy==2.4.6", "scipy==1.17.1", "scikit-learn==1.9.1", "bayespy==0.6.6"]
# Must be set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
STARTS = 15
COMPONENTS = 10

MEANS = [(20, 20), (20, 20), (25, 25), (16, 16)]
COVARIANCES = [
    ((2, 0), (0, 0.1)),
    ((0.1, 0), (0, 2)),
    ((2, -1.5), (-1.5, 2)),
    ((0.5, 0), (0, 0.5)),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="200,2000", help="numbers of rows, with commas between them")
    parser.add_argument("--seeds", type=int, default=1, help="draws of each")
    parser.add_argument("--program", default=str(HOUSE / "target" / "release" / "eddyline"), help="our program")
    parser.add_argument("--only", default="", help="peers to run, with commas between them: scikit-learn,BayesPy")
    arguments = parser.parse_args()
    if not pathlib.Path(arguments.program).exists():
        sys.exit(f"there is no {arguments.program}: cargo build --release, or say --program")
    enter_environment()
    chosen = [name for name in arguments.only.split(",") if name]
    peers = {name: run for name, run in PEERS.items() if not chosen or name in chosen}
    print("| rows | oracle | " + " | ".join(f"{name}: ARI, groups, s" for name in ["ours", *peers]) + " |")
    print("|" + "---|" * (len(peers) + 3))
    for name, points, truth in datasets(arguments):
        kept = truth >= 0
        cells = [f"{name}", f"{agreement(truth[kept], oracle(points)[kept]):.3f}"]
        runs = {"ours": lambda points: ours(arguments.program, points), **peers}
        for peer, run in runs.items():
            say(f"{name}: {peer} …")
            labels, seconds = run(points)
            groups = len(set(labels[labels >= 0]))
            cells.append(f"{agreement(truth[kept], labels[kept]):.3f}, {groups}, {seconds:.2f}")
            say(f"{name}: {peer}: {cells[-1]}")
        print("| " + " | ".join(cells) + " |", flush=True)
    say("done")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def enter_environment():
    """Restarts the script in an environment of its own, with exactly these packages."""
    python = ENVIRONMENT / "bin" / "python"
    if pathlib.Path(sys.prefix) == ENVIRONMENT:
        return
    stamp = ENVIRONMENT / "packages.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        print(f"making {ENVIRONMENT}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        stamp.write_text("\n".join(PACKAGES))
    os.execv(python, [str(python), *sys.argv])


def datasets(arguments):
    import numpy

    for rows in [int(rows) for rows in arguments.rows.split(",")]:
        for seed in range(1, arguments.seeds + 1):
            for outliers in (0, rows // 20):
                random = numpy.random.default_rng([rows, seed])
                parts = [random.multivariate_normal(MEANS[k], COVARIANCES[k], rows // 4) for k in range(4)]
                parts.append(random.uniform(-80, 120, (outliers, 2)))
                truth = numpy.repeat([0, 1, 2, 3, -1], [len(part) for part in parts])
                order = random.permutation(len(truth))
                name = f"{rows}, seed {seed}" + (", 5 % gross outliers" if outliers else "")
                yield name, numpy.vstack(parts)[order], truth[order]
    folder = pathlib.Path(os.environ.get("EDDYLINE_DATA", HOUSE / ".." / "shared" / "data")) / "groups"
    wanted = {f"users_{rows}" for rows in arguments.rows.split(",")}
    files = sorted(folder.glob("users_*.csv*")) if folder.is_dir() else []
    if not files:
        print(f"skipped: no data in {folder}", file=sys.stderr)
    for file in files:
        if file.name.rsplit("_", 1)[0] in wanted:
            table = numpy.loadtxt(file, delimiter=",", skiprows=1)
            yield file.name, table[:, :2], table[:, 2].astype(int)


def agreement(truth, labels):
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(truth, labels)


def oracle(points):
    """Labels of a classifier with the true densities."""
    import numpy
    from scipy.stats import multivariate_normal

    densities = [multivariate_normal(MEANS[k], COVARIANCES[k]).logpdf(points) for k in range(4)]
    return numpy.argmax(densities, axis=0)


def ours(program, points):
    import numpy

    with tempfile.TemporaryDirectory() as folder:
        rows, found = pathlib.Path(folder, "rows.csv"), pathlib.Path(folder, "found.json")
        rows.write_text("a,b\n" + "\n".join(f"{a!r},{b!r}" for a, b in points.tolist()) + "\n")
        command = [program, "cluster", "--csv", rows, "--columns", "a,b", "--json", found]
        command += ["--restarts", str(STARTS), "--components", str(COMPONENTS)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        report = json.loads(found.read_text())
    return numpy.array(report["assignment"]), report["seconds"]


def scaled(points):
    """Standardises the columns as usual: mean 0, variance 1."""
    return (points - points.mean(0)) / points.std(0)


def scikit_learn(points):
    import warnings

    from sklearn.mixture import BayesianGaussianMixture

    mixture = BayesianGaussianMixture(
        n_components=COMPONENTS,
        n_init=STARTS,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1e-5,
        max_iter=1000,
        random_state=1,
    )
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = mixture.fit_predict(scaled(points))
    return labels, time.perf_counter() - begun


def bayespy(points):
    import numpy
    from bayespy.inference import VB
    from bayespy.nodes import Categorical, Dirichlet, Gaussian, GaussianARD, Mixture, Wishart

    values = scaled(points)
    rows, dim = values.shape
    numpy.random.seed(1)
    best = None
    begun = time.perf_counter()
    for _ in range(STARTS):
        shares = Dirichlet(1e-5 * numpy.ones(COMPONENTS))
        group = Categorical(shares, plates=(rows,))
        mean = GaussianARD(0, 1e-2, shape=(dim,), plates=(COMPONENTS,))
        precision = Wishart(dim, 0.01 * dim * numpy.eye(dim), plates=(COMPONENTS,))
        row = Mixture(group, Gaussian, mean, precision)
        group.initialize_from_random()
        row.observe(values)
        # Means first: with precisions first every start ends with one cluster.
        engine = VB(row, mean, precision, shares, group)
        engine.update(repeat=500, tol=1e-6, verbose=False)
        bound = engine.L[engine.iter - 1]
        if best is None or bound > best[0]:
            best = (bound, group.get_moments()[0].argmax(axis=1))
    return best[1], time.perf_counter() - begun


PEERS = {"scikit-learn": scikit_learn, "BayesPy": bayespy}

if __name__ == "__main__":
    main()
