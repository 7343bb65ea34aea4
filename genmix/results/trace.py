"""The study at a glance: one lesion followed through a finished run, and how long each notebook took."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.classifier import training, trials
from genmix.data.cohort import Cohort
from genmix.data.sampling import one_hot
from genmix.mixing import dataset
from genmix.run import study as study_module


def sets(study, train):
    """{generator: (synthetic set, GenMix set)} of this run, the first fold, in the order of 07.  StudyError when 07 has not run."""
    study.need('mixed', '07_genmix')
    stages = [stage.removeprefix('mixed/') for stage in study.provenance('mixed')['params']]
    synthetic = {
        name: Cohort.load(study.need(study_module.stage_name('synthetic', name), '07_genmix'))
        for name in stages
        if '-' not in name
    }  # name-f1 is another fold
    return {name: (images, dataset.load_set(study, train, images)) for name, images in synthetic.items()}


@dataclass(frozen=True)
class Trace:
    """A mixture and where it comes from: rows of the real set, of the synthetic set and of the GenMix set.  `network`: the arm whose kept classifier is asked."""

    generator: str
    real: int
    synthetic: int
    mixture: int
    lam: float
    network: str


def choose_traces(study, train, made, seed=0):
    """One training lesion and, for each generator of `made` (see `sets`), a mixture of it: with another class where there is one, and as near to an even one as possible.

    The lesion is drawn among those that have such a mixture, clearly visible, in the first set.  A generator whose GenMix classifier was not trained is
    judged by another that was kept; StudyError when none was.
    """

    def oddness(synthetic, mix):
        return np.abs(mix.lam - 0.6) + (train.labels[mix.a] == synthetic.labels[mix.b])

    kept = [path.parent.name for path in sorted(study.folder.glob('classifiers/*/config.json'))]
    if not kept:
        raise StudyError(
            f'runs/{study.run}/classifiers is empty: run `make 08_classification RUN={study.run}` first.'
        )
    synthetic, mix = next(iter(made.values()))
    odd = oddness(synthetic, mix)
    lesion = int(np.random.default_rng(seed).choice(mix.a[odd <= max(0.15, odd.min())]))
    found = []
    for name, (synthetic, mix) in made.items():
        row = int(np.where(mix.a == lesion, oddness(synthetic, mix), np.inf).argmin())
        if mix.a[row] == lesion:
            network = next(arm for arm in (f'genmix-{name}', 'classical', kept[0]) if arm in kept)
            found.append(Trace(name, lesion, int(mix.b[row]), row, float(mix.lam[row]), network))
    return found


def follow(study, train, made, found):
    """{title: [(step, image, label, probabilities)]} for plots.followed: the real lesion, the synthetic one, their mixture, and what the network says of each."""
    rows, k = {}, len(train.class_names)
    for trail in found:
        synthetic, mix = made[trail.generator]
        images = np.stack([train.images[trail.real], synthetic.images[trail.synthetic], mix.x[trail.mixture]])
        labels = np.stack(
            [*one_hot([train.labels[trail.real], synthetic.labels[trail.synthetic]], k), mix.y[trail.mixture]]
        )
        model, config = trials.load_classifier(study, trail.network)
        steps = [
            f'real {train.class_names[labels[0].argmax()]}',
            f'synthetic {train.class_names[labels[1].argmax()]}',
            f'mixture, λ = {trail.lam:.2f}',
        ]
        rows[f'{trail.generator}, by\n{trail.network}'] = list(
            zip(steps, images, labels, training.predict(model, images, config['input_size']))
        )
    return rows


def trace_table(train, made, found, rows):
    """The same as a table: generator, network, step, image id, lam, y_<class>..., p_<class>...; lam is empty where nothing is mixed."""
    out = []
    for trail, row in zip(found, rows.values()):
        ids = (
            train.ids[trail.real],
            made[trail.generator][0].ids[trail.synthetic],
            f'mixed-{trail.mixture:05d}',
        )
        for (_, _, label, guess), name, lesion in zip(row, ('real', 'synthetic', 'mixture'), ids):
            out.append(
                {
                    'generator': trail.generator,
                    'network': trail.network,
                    'step': name,
                    'id': lesion,
                    'lam': trail.lam if name == 'mixture' else None,
                    **{f'y_{c}': float(v) for c, v in zip(train.class_names, label)},
                    **{f'p_{c}': round(float(v), 4) for c, v in zip(train.class_names, guess)},
                }
            )
    return pd.DataFrame(out)


def notebook_seconds(study):
    """Seconds of each notebook in this run, by name: Series, empty where none was noted.

    The longest of its executions: a later one loads what stands.
    """
    path = study.folder / 'timings.csv'
    noted = (
        pd.read_csv(path)
        if path.exists()
        else pd.DataFrame({'stage': pd.Series(dtype=str), 'seconds': pd.Series(dtype=float)})
    )
    noted = noted[noted.stage.str.startswith('notebook ')]
    return noted.assign(notebook=noted.stage.str.removeprefix('notebook ')).groupby('notebook').seconds.max()


def in_minutes(seconds):
    """'under 1', '7', or '-' where it is not known."""
    return '-' if seconds is None else f'{seconds / 60:.0f}' if seconds >= 60 else 'under 1'


def question(notebook):
    """The question that a notebook (of genmix.plan) asks: the bold sentence under its title."""
    first = ''.join(notebook.content['cells'][0]['source'])
    return ' '.join(first.split('**')[1].split()) if first.count('**') > 1 else ''


def summarise_trace(rows, class_names):
    """One line a generator of `follow`: what the label of its mixture says, what the network says, and how much of that neither parent has."""
    lines = []
    for title, (*_, (_, _, label, guess)) in rows.items():
        said = ' and '.join(f'{label[k]:.0%} {class_names[k]}' for k in np.argsort(-label) if label[k])
        lines.append(
            f'{title.split(",")[0]}: the label of the mixture says {said}, the network {guess.max():.0%} {class_names[int(guess.argmax())]}; '
            f'to classes that neither parent has it gives {guess[label == 0].sum():.0%}'
        )
    return lines
