"""The claims of the paper, each with the numbers that test it, and controls: each could turn out either way.

A claim is a list of parts, each a difference and its expected direction.  It is *supported* when every part
goes that way (p below ALPHA each: an intersection-union test needs no correction); *contradicted* when some
part goes the other way, or is surely smaller than the smallest effect of interest where it should be larger
(Holm over the parts, of which any one would do); *undecided* otherwise.  It is *not testable here* where
every generator that it concerns fails its card, and *not measured* where there are no numbers.
"""

import numpy as np
import pandas as pd

from genmix.results.claim_parts import BEST, NOT_TESTABLE, NUMBERS, Sources
from genmix.results.data_size_parts import GANS
from genmix.results.intervals import holm
from genmix.results.metrics import PRIMARY

ALPHA = 0.05
LATENT, HEADLINE = ('textual_inversion', 'diffusion'), 'textual_inversion'
NOT_MEASURED = 'not measured'
WORDS = ('supported', 'contradicted', 'undecided', NOT_TESTABLE, NOT_MEASURED)
GENERATORS, SETS, CLASSIFICATION, CONTROL = (
    'the generators',
    'the synthetic sets',
    'classification',
    'controls',
)
COLUMNS = ['claim', 'concerns', 'part', 'metric', 'expected', *NUMBERS, 'n', 'verdict']
EMPTY = {'part': '', 'metric': '', 'expected': '', 'verdict': ''}  # where a claim has no numbers
SAID = {BEST: 'probability of being best', 'kid': 'KID', 'macro auc': 'macro AUC'}  # as readers know metrics
# Metrics, as parts name them, that are shares.
PERCENT = ('balanced accuracy', 'predicted prevalence', 'sensitivity', 'macro auc', 'TSTR')
PERCENT += ('copy ratio', 'blend ratio', 'authenticity', 'coverage', 'diversity')


def claims_of(s: Sources) -> list[tuple[str, str, list[dict]]]:
    """[(what it concerns, claim, its parts)]: of the paper, then the controls."""
    genmix, alone, best = s.all_of('genmix'), s.all_of('synthetic'), s.arm('genmix', HEADLINE)
    pairs = [tuple(map(list, zip(*s.find.pairs(g)))) for g in s.learned]
    others = [*genmix, *(a for a in alone if a != s.arm('synthetic', HEADLINE)), 'classical', 'mixup']
    prevalence, sensitivity = ('predicted_prevalence', s.major), ('sensitivity', s.rare)
    mixup, corrected = [('mixup', 'classical')], [(genmix, 'mixup')]
    collapse = [part for m in ('diversity', 'coverage') for part in s.between(GANS, LATENT, m, 'lower')]
    rare = [
        part
        for m, way in ((prevalence, 'higher'), (sensitivity, 'lower'))
        for part in s.scores(mixup, m, way)
    ]
    mended = [
        part
        for m, way in ((prevalence, 'lower'), (sensitivity, 'higher'))
        for part in s.scores(corrected, m, way)
    ]
    within = {m: s.gained(m, 'blending_same') for m in ('kid', 'diversity', 'coverage')}
    return [
        (GENERATORS, 'generators learn new patterns: they do not copy', s.copying()),
        (GENERATORS, 'GANs collapse: they are less varied than the diffusion generators', collapse),
        (
            GENERATORS,
            'diffusion is hard on little data: more lesions help it, and more than the GANs',
            s.sized(),
        ),
        (SETS, 'mixing improves quality: blends within a class are nearer to real lesions', within['kid']),
        (SETS, 'mixing improves diversity, within a class', within['diversity'] + within['coverage']),
        (
            CLASSIFICATION,
            'GenMix improves every generator, at the same dose',
            s.scores(pairs, PRIMARY, 'higher'),
        ),
        (
            CLASSIFICATION,
            'GenMix with Textual Inversion beats the others',
            s.best(best, others) if best else [],
        ),
        (CLASSIFICATION, 'mixup sharpens class borders', s.scores(mixup, 'macro_auc', 'higher')),
        (CLASSIFICATION, 'mixup favours the major class', rare),
        (CLASSIFICATION, 'GenMix corrects that', mended),
        *controls(s, genmix),
    ]


def controls(s: Sources, genmix: list[str]) -> list[tuple[str, str, list[dict]]]:
    """What would have to hold for GenMix to be the cause of a gain."""
    balanced = [(genmix, other) for other in ('oversample', 'oversample-mixup')]
    wanted = {
        'GenMix is more than mixup on the same images': [(genmix, s.all_of('mixup-union'))],
        'GenMix is more than mixup without a generator': [(genmix, 'mixup')],
        'GenMix is more than class balance': balanced,
        'GenMix is more than no generator at all': [(genmix, 'classical')],
    }
    return [(CONTROL, claim, s.scores(pairs, PRIMARY, 'higher')) for claim, pairs in wanted.items()]


def claims_table(s: Sources) -> pd.DataFrame:
    """Every part of every claim: a table of COLUMNS; a claim without numbers has one row without any.

    verdict   of the part, one of WORDS; '' in a run of one cohort, which has none of its own
    """
    rows = []
    for concerns, claim, parts in claims_of(s):
        about = {'claim': claim, 'concerns': concerns}
        words = part_verdicts(parts)
        if not s.judged:
            words = [word if word == NOT_TESTABLE else '' for word in words]
        none_testable = concerns in (CLASSIFICATION, CONTROL) and s.learned and not s.testable
        if not parts:
            generators = none_testable and 'GenMix' in claim
            parts, words = (
                [{'part': '', 'metric': '', 'n': 0}],
                [NOT_TESTABLE if generators else NOT_MEASURED],
            )
        rows += [about | part | {'verdict': word} for part, word in zip(parts, words)]
    return pd.DataFrame(rows, columns=COLUMNS).fillna(EMPTY)


def part_verdicts(parts: list[dict]) -> list[str]:
    """One of WORDS for each part of a claim."""
    tested = [i for i, part in enumerate(parts) if part['testable']]
    words = [NOT_TESTABLE] * len(parts)
    p = np.array([parts[i]['p'] for i in tested])
    same = np.array([parts[i]['p_equivalent'] for i in tested])
    against, small = (holm(np.where(np.isfinite(v), v, 1.0)) if len(v) else v for v in (p, same))
    for k, i in enumerate(tested):
        words[i] = _word(parts[i], against[k], small[k])
    return words


def _word(part, p_against, p_small):
    sign = 1 if part['expected'] == 'higher' else -1
    ends = sorted((sign * part['low'], sign * part['high']))
    if part.get('absent'):  # a warning that should not be there: its absence supports, its presence does not
        return 'supported' if ends[1] >= 0 else 'undecided'
    if (p_against < ALPHA and ends[1] < 0) or p_small < ALPHA:
        return 'contradicted'
    return 'supported' if ends[0] > 0 and part['p'] < ALPHA else 'undecided'


def verdicts(parts: pd.DataFrame) -> dict[str, str]:
    """{claim: verdict} from the parts; '' in a run of one cohort."""

    def of_claim(found):
        if found <= {NOT_TESTABLE} or found <= {NOT_MEASURED}:
            return next(iter(found))
        found = found - {NOT_TESTABLE}
        if 'contradicted' in found:
            return 'contradicted'
        return '' if found == {''} else 'supported' if found == {'supported'} else 'undecided'

    parts = parts.fillna(EMPTY)
    return {str(claim): of_claim(set(own.verdict)) for claim, own in parts.groupby('claim', sort=False)}


def format_part(r) -> str:
    """'+1.2 [0.3, 2.1] points' of a row of `claims_table`; without a unit where the metric is no share."""
    if r.metric == BEST:  # kept as a difference from 1/2
        zero, scale, number, unit = -0.5, 100, '.0f', ' %'
    elif r.metric.startswith(PERCENT):
        zero, scale, number, unit = 0, 100, '+.1f', ' points'
    else:
        zero, scale, number, unit = 0, 1, '+.2f', ''
    mean, low, high = (f'{scale * (v - zero):{number}}' for v in (r.mean, r.low, r.high))
    return f'{mean} [{low}, {high}]{unit}' if np.isfinite(r.low) else f'{mean}{unit}'


def overview(parts: pd.DataFrame) -> pd.DataFrame:
    """One row per claim, to be read: concerns, claim, measured by, found, verdict."""
    parts = parts.fillna(EMPTY)
    rows, verdict = [], verdicts(parts)
    for claim, own in parts.groupby('claim', sort=False):
        metrics = list(dict.fromkeys(own.metric))
        measured_by = ', '.join(SAID.get(metric, metric) for metric in metrics)
        found = _found(own[own.metric != ''], len(metrics) > 1)
        rows.append((own.concerns.iloc[0], claim, measured_by, found, verdict[str(claim)]))
    return pd.DataFrame(rows, columns=['concerns', 'claim', 'measured by', 'found', 'verdict'])


def _found(parts, name_metric):
    """The parts of one claim in numbers; where they are many, how many intervals exclude 0, and which way."""
    if len(parts) >= 5:
        sign = np.where(parts.expected == 'higher', 1, -1)
        low, high = np.sort(np.array([sign * parts.low, sign * parts.high]), axis=0)
        return f'{len(parts)} differences: {(low > 0).sum()} as claimed, {(high < 0).sum()} the other way'
    return '; '.join(
        f'{r.part}{f", {SAID.get(r.metric, r.metric)}" if name_metric else ""}: {format_part(r)}'
        f'{f" ({NOT_TESTABLE})" if r.verdict == NOT_TESTABLE else ""}'
        for r in parts.itertuples()
    )


def summarise_claims(parts: pd.DataFrame) -> list[str]:
    """One sentence for each thing that claims concern, and each claim by its name: no count says which."""
    found, lines = verdicts(parts), []
    for concerns, own in parts.groupby('concerns', sort=False):
        words = {claim: found[claim] for claim in dict.fromkeys(own.claim)}
        each = [
            f'{word}: {", ".join(f"“{claim}”" for claim, said in words.items() if said == word)}'
            for word in WORDS
            if word in words.values()
        ]
        if each:
            lines.append(f'{concerns}: {"; ".join(each)}')
    return lines
