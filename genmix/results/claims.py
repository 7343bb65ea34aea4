"""The claims of the paper, each with the numbers that test it: supported, contradicted or undecided here.

A claim is a list of parts, each a difference and its expected direction.  It is *supported* when every part
goes that way and its interval excludes zero, *contradicted* when the interval of some part lies wholly on
the other side, and *undecided* otherwise.  Nothing here is typed by hand: all is computed.
"""

import pandas as pd

from genmix.results.claim_parts import Sources
from genmix.results.metrics import PRIMARY

GANS, HEADLINE = ('dcgan', 'stylegan'), 'textual_inversion'
COLUMNS = ['claim', 'of', 'part', 'metric', 'expected', 'mean', 'low', 'high', 'p', 'n', 'verdict']
# Metrics, as parts name them, that are shares.
PERCENT = (
    *('balanced accuracy', 'predicted prevalence', 'sensitivity', 'macro auc'),
    *('copy ratio', 'blend ratio', 'authenticity', 'coverage', 'diversity'),
)


def paper_claims(s: Sources) -> dict[str, list[dict]]:
    """{claim of the paper: its parts}."""
    genmix, alone, best = s.all_of('genmix'), s.all_of('synthetic'), s.arm('genmix', HEADLINE)
    others = [*genmix, *(a for a in alone if a != s.arm('synthetic', HEADLINE)), 'classical', 'mixup']
    beaten = [(best, other) for other in others if other != best]
    gans, diffusion = ([g for g in s.learned if g in own] for own in (GANS, ('diffusion',)))
    mixup, corrected = [('mixup', 'classical')], [(genmix, 'mixup')]
    prevalence, sensitivity = ('predicted_prevalence', s.major), ('sensitivity', s.rare)
    return {
        'GenMix improves every generator': s.scores(list(zip(genmix, alone)), PRIMARY, 'higher'),
        'GenMix with Textual Inversion beats the others': s.scores(beaten, PRIMARY, 'higher'),
        'generators learn new patterns: they do not copy': s.copying(s.learned),
        'GANs collapse: they are less varied than real lesions': s.carded(gans, 'diversity', 'lower'),
        'diffusion is hard on little data: it leaves real lesions uncovered': s.carded(
            diffusion, 'coverage', 'lower'
        ),
        'mixup sharpens class borders: classes are separated better': s.scores(mixup, 'macro_auc', 'higher'),
        'mixup favours the major class': s.scores(mixup, prevalence, 'higher')
        + s.scores(mixup, sensitivity, 'lower'),
        'GenMix corrects that': s.scores(corrected, prevalence, 'lower')
        + s.scores(corrected, sensitivity, 'higher'),
        'mixing improves the quality of the synthetic set': s.gained('kid'),
        'mixing improves the diversity of the synthetic set': s.gained('diversity') + s.gained('coverage'),
    }


def controls(s: Sources) -> dict[str, list[dict]]:
    """{what would have to hold for GenMix to be the cause: its parts}."""
    genmix, unions, balanced = s.all_of('genmix'), s.all_of('mixup-union'), ('oversample', 'oversample-mixup')
    return {
        'blending itself does so, not the real lesions that come with it': [
            part for metric in ('kid', 'diversity', 'coverage') for part in s.gained(metric, 'blending')
        ],
        'GenMix is more than mixup on the same images': s.scores([(genmix, unions)], PRIMARY, 'higher'),
        'GenMix is more than class balance': s.scores([(genmix, b) for b in balanced], PRIMARY, 'higher'),
        'GenMix is more than no generator at all': s.scores([(genmix, 'classical')], PRIMARY, 'higher'),
    }


def claims_table(s: Sources) -> pd.DataFrame:
    """Every part of every claim that this run can test: a table of COLUMNS; `verdict` is that of the part."""

    def decide(part):
        if part['direction'] == 'undecided':
            return 'undecided'
        return 'supported' if part['direction'] == part['expected'] else 'contradicted'

    rows = [
        {'claim': claim, 'of': of, **part, 'verdict': decide(part)}
        for of, claims in (('paper', paper_claims(s)), ('control', controls(s)))
        for claim, parts in claims.items()
        for part in parts
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def verdicts(parts: pd.DataFrame) -> dict[str, str]:
    """{claim: verdict} from the parts."""

    def of_claim(found):
        if 'contradicted' in found:
            return 'contradicted'
        return 'supported' if found == {'supported'} else 'undecided'

    return {str(claim): of_claim(set(own.verdict)) for claim, own in parts.groupby('claim', sort=False)}


def format_part(r) -> str:
    """'+1.2 [0.3, 2.1] points' of a row of `claims_table`; without a unit where the metric is no share."""
    if r.metric.startswith(PERCENT):
        return '{:+.1f} [{:+.1f}, {:+.1f}] points'.format(*(100 * v for v in (r.mean, r.low, r.high)))
    return f'{r.mean:+.2f} [{r.low:+.2f}, {r.high:+.2f}]'


def overview(parts: pd.DataFrame) -> pd.DataFrame:
    """One row per claim, to be read: claim, measured by, found, verdict."""
    rows, verdict = [], verdicts(parts)
    for claim, own in parts.groupby('claim', sort=False):
        metrics = list(dict.fromkeys(own.metric))
        control = ' *(control)*' if own.of.iloc[0] == 'control' else ''
        rows.append(
            (f'{claim}{control}', ', '.join(metrics), _found(own, len(metrics) > 1), verdict[str(claim)])
        )
    return pd.DataFrame(rows, columns=['claim', 'measured by', 'found', 'verdict'])


def _found(parts, name_metric):
    """The parts of one claim in numbers, or counted where they are many."""
    if len(parts) >= 5:
        as_claimed, other = ((parts.verdict == v).sum() for v in ('supported', 'contradicted'))
        return f'{as_claimed} of {len(parts)} differences as claimed, {other} the other way'
    return '; '.join(
        f'{r.part}{f", {r.metric}" if name_metric else ""}: {format_part(r)}' for r in parts.itertuples()
    )


def summarise_claims(parts: pd.DataFrame) -> list[str]:
    """One sentence per verdict: how many claims of the paper have it, and which."""
    found = verdicts(parts.query('of == "paper"'))
    lines = []
    for verdict in ('supported', 'contradicted', 'undecided'):
        names = [claim for claim, own in found.items() if own == verdict]
        listed = f': {"; ".join(names)}' if names else ''
        lines.append(
            f'{len(names)} of {len(found)} claims {"is" if len(names) == 1 else "are"} {verdict}{listed}'
        )
    return lines
