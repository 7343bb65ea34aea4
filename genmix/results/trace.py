"""The study at a glance: one lesion followed through a finished run, and how long each notebook took."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.names import in_markdown
from genmix.data.sampling import one_hot
from genmix.mixing.arms import load_arms
from genmix.mixing.dataset import GenMixSet, load_set
from genmix.run.study import Study, stage_name

VISIBLE = 0.6  # lambda at which both parents of a mixture are clearly visible


def sets(study: Study, train: Cohort) -> dict[str, tuple[Cohort, GenMixSet]]:
    """{generator: (synthetic set, GenMix set)} of this run, the first fold, in the order of 07.

    StudyError when 07 has not run.
    """
    study.need('mixed', '07_genmix')
    stages = [stage.removeprefix('mixed/') for stage in study.provenance('mixed')['params']]
    synthetic = {
        name: Cohort.load(study.need(stage_name('synthetic', name), '07_genmix'))
        for name in stages
        if '-' not in name  # name-f1 is another fold
    }
    return {name: (images, load_set(study, train, images)) for name, images in synthetic.items()}


@dataclass(frozen=True)
class Trace:
    """A mixture and where it comes from: rows of the real, the synthetic and the GenMix set.

    network   the arm whose saved classifier predicts
    """

    generator: str
    real: int
    synthetic: int
    mixture: int
    lam: float
    network: str


def choose_traces(study: Study, train: Cohort, made, seed=0) -> list[Trace]:
    """One training lesion and, for each generator of `made` (see `sets`), a mixture of it.

    The mixture is with another class where there is one, and with lambda as near to VISIBLE as possible; the
    lesion is drawn among those that have such a mixture in the first set.  Where the GenMix classifier of a
    generator was not saved, another network predicts; StudyError when none was.
    """

    def distance(synthetic, mix):
        same_class = train.labels[mix.a] == synthetic.labels[mix.b]
        return np.abs(mix.lam - VISIBLE) + same_class

    folder = study.folder / 'classifiers'
    saved = [arm for arm in load_arms(study).values() if (folder / arm.slug / 'config.json').exists()]
    if not saved:
        raise StudyError(
            f'runs/{study.run}/classifiers is empty: run `make 08_classification RUN={study.run}` first.'
        )
    names, genmix = [arm.name for arm in saved], [arm for arm in saved if arm.kind == 'genmix']
    genmix.sort(key=lambda arm: (not arm.stored, arm.balance == 'natural', -arm.dose))  # the last one counts
    networks = {arm.generator: arm.name for arm in genmix}
    default = 'classical' if 'classical' in names else names[0]
    first = next(iter(made.values()))
    apart = distance(*first)
    lesion = int(np.random.default_rng(seed).choice(first[1].a[apart <= max(0.15, apart.min())]))
    found = []
    for name, (synthetic, mix) in made.items():
        row = int(np.where(mix.a == lesion, distance(synthetic, mix), np.inf).argmin())
        if mix.a[row] == lesion:
            network = networks.get(name, default)
            found.append(Trace(name, lesion, int(mix.b[row]), row, float(mix.lam[row]), network))
    return found


def follow(study: Study, train: Cohort, made, traces: list[Trace]) -> dict[str, list[tuple]]:
    """{title: [(step, image uint8 (H, W), label (K,), probabilities (K,))]} for plots.traced_lesion.

    Steps are the real lesion, the synthetic one, and their mixture.
    """
    from genmix.classifier.training import predict
    from genmix.classifier.trials import load_classifier

    rows, names = {}, train.class_names
    for trace in traces:
        synthetic, mix = made[trace.generator]
        parents = np.array([train.labels[trace.real], synthetic.labels[trace.synthetic]])
        images = np.stack([train.images[trace.real], synthetic.images[trace.synthetic], mix.x[trace.mixture]])
        labels = np.stack([*one_hot(parents, len(names)), mix.y[trace.mixture]])
        model, config = load_classifier(study, trace.network)
        kind = 'phantom' if train.source.startswith('phantom') else 'real'
        steps = [f'{word} {names[k]}' for word, k in zip((kind, 'synthetic'), parents)]
        steps.append(f'mixture, λ = {trace.lam:.2f}')
        probabilities = predict(model, images, config['input_size'])
        rows[f'{trace.generator}, by\n{trace.network}'] = list(zip(steps, images, labels, probabilities))
    return rows


def trace_table(train: Cohort, made, traces: list[Trace], rows) -> pd.DataFrame:
    """The same as a table: generator, network, step, image id, lam, y_<class>..., p_<class>...

    lam is empty where nothing is mixed.
    """
    out, names = [], train.class_names
    for trace, row in zip(traces, rows.values()):
        synthetic_id = made[trace.generator][0].ids[trace.synthetic]
        ids = train.ids[trace.real], synthetic_id, f'mixed-{trace.mixture:05d}'
        for step, image_id, (_, _, label, guess) in zip(('real', 'synthetic', 'mixture'), ids, row):
            about = {'generator': trace.generator, 'network': trace.network, 'step': step, 'id': image_id}
            about['lam'] = trace.lam if step == 'mixture' else None
            about |= {f'y_{c}': float(v) for c, v in zip(names, label)}
            about |= {f'p_{c}': round(float(v), 4) for c, v in zip(names, guess)}
            out.append(about)
    return pd.DataFrame(out)


def notebook_seconds(study: Study) -> pd.Series:
    """Seconds of each numbered notebook in this run, by name; empty where none was noted.

    The longest of its executions: a later one loads cached stages.  Appendices are no part of `make all`.
    """
    path = study.folder / 'timings.csv'
    if not path.exists():
        return pd.Series(dtype=float)
    noted = pd.read_csv(path)
    noted = noted[noted.stage.str.match(r'notebook \d')]
    return noted.assign(notebook=noted.stage.str.removeprefix('notebook ')).groupby('notebook').seconds.max()


def in_minutes(seconds: float | None) -> str:
    """'under 1', '7', or '-' where it is not known."""
    if seconds is None:
        return '-'
    return f'{seconds / 60:.0f}' if seconds >= 60 else 'under 1'


def summarise_trace(rows, class_names) -> list[str]:
    """One line per generator of `follow`: label of the mixture, prediction, probability of other classes.

    Markdown, as all summaries.
    """
    lines, names = [], [in_markdown(name) for name in class_names]
    for title, (*_, (_, _, label, guess)) in rows.items():
        parts = ' and '.join(f'{label[k]:.0%} {names[k]}' for k in np.argsort(-label) if label[k])
        likeliest = int(guess.argmax())
        lines.append(
            f'{title.split(",")[0]}: the label of the mixture is {parts}, the network predicts '
            f'{guess[likeliest]:.0%} {names[likeliest]}; classes that neither parent has get '
            f'{guess[label == 0].sum():.0%}'
        )
    return lines
