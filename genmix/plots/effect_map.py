"""Figures of the map: what each effect does along scarcity and the defects of a generator."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from genmix.plots.style import join_words, styled, subplots
from genmix.results.effect_surface import CHANCES
from genmix.results.intervals import SMALLEST
from genmix.results.map_space import AXES

SCARCITY, *DEFECTS = AXES
TITLES = dict(zip(CHANCES, ('P(effect > 1)', 'P(|effect| < 1)', 'P(effect < −1)')))
TICKS = {'lesions': (5, 10, 20, 50, 100), 'modes': (3, 10, 30, 100, 600)}
COLOUR = '#0173b2'


@styled
def effect_profiles(surfaces, effects):
    """Every effect along every axis: the points of the map, and the surface with its 95 % interval.

    surfaces, effects   `results.effect_map.surfaces` and `effects_of`
    """
    fig, axes = subplots(10, 2.1 * len(surfaces) + 0.4, len(surfaces), len(AXES), sharey='row')
    for row, (name, surface) in zip(axes, surfaces.items()):
        for ax, axis in zip(row, AXES):
            line = surface.profile(axis.name)
            ax.plot(effects[axis.name], 100 * effects[name], '.', ms=3, color='#949494')
            band = 100 * line.low, 100 * line.high
            ax.fill_between(line[axis.name], *band, color=COLOUR, alpha=0.3, lw=0)
            ax.plot(line[axis.name], 100 * line['mean'], color=COLOUR)
            for level in (-SMALLEST, SMALLEST):
                ax.axhline(100 * level, color='k', lw=0.8, ls=':')
            _scale(ax.xaxis, axis)
        row[0].set_ylabel(f'{name}\n[points]')
    for ax, axis in zip(axes[-1], AXES):
        ax.set_xlabel(axis.title)
    fig.alt = f'Effects in points at {len(effects)} cohorts of the map, and surfaces. {_averages(surfaces)}.'
    return fig


@styled
def effect_panels(surface, effect):
    """One effect by scarcity and each defect, averaged over the other defects: its size, and the chances that
    it is above 1 point, within 1 point, or below -1.

    surface   a `results.effect_surface.Surface`      effect   its name
    """
    shown = {'mean': f'{effect} [points]'} | TITLES
    fig, axes = subplots(8, 8.4, len(shown), len(DEFECTS), sharex='col', sharey=True)
    panels = [surface.panel(defect.name, up=SCARCITY.name) for defect in DEFECTS]
    largest = max(1, np.ceil(100 * max(np.abs(panel['mean']).max() for panel in panels)))
    places = np.linspace(-1, 1, len(panels[0]['mean']))
    for row, (name, title) in zip(axes, shown.items()):
        look, lines = {'levels': np.linspace(0, 1, 11), 'cmap': 'Blues'}, [0.1, 0.5, 0.9]
        if name == 'mean':
            look, lines = {'levels': largest * np.linspace(-1, 1, 21), 'cmap': 'PuOr'}, [-1, 0, 1]
        for ax, defect, panel in zip(row, DEFECTS, panels):
            values = panel[name].clip(0, 1) if name in CHANCES else 100 * panel[name]
            grid = defect.from_unit(places), SCARCITY.from_unit(places)
            filled = ax.contourf(*grid, values, **look)
            ax.clabel(ax.contour(*grid, values, lines, colors='k', linewidths=0.7), fontsize=7)
            _scale(ax.xaxis, defect)
            _scale(ax.yaxis, SCARCITY)
        row[0].set_ylabel(SCARCITY.title, fontsize=8)
        fig.colorbar(filled, ax=row, label=title, shrink=0.9, ticks=look['levels'][::5])
    for ax, defect in zip(axes[-1], DEFECTS):
        ax.set_xlabel(defect.title)
    fig.alt = f'{effect} by scarcity and three defects of a generator. {_ranges(panels)}.'
    return fig


def _scale(side, axis):
    """Ticks of an x or y axis of a figure: of an axis of the map in steps of equal ratio where it is."""
    if axis.log:
        side.axes.set(**{f'{side.axis_name}scale': 'log'})
        side.set_major_locator(FixedLocator(TICKS[axis.name]))
        side.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
        side.set_minor_locator(NullLocator())


def _averages(surfaces):
    """Alt text: the average of each effect over the map."""
    means = {name: surface.at(surface.averaged()[None]).iloc[0] for name, surface in surfaces.items()}
    found = (
        f'{name} {100 * r["mean"]:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}]'
        for name, r in means.items()
    )
    return f'On average over the map: {join_words(found)}'


def _ranges(panels):
    """Alt text: from where to where an effect goes in each panel, and each chance in all of them."""
    found = (
        f'by {defect.title} from {100 * panel["mean"].min():+.1f} to {100 * panel["mean"].max():+.1f}'
        for defect, panel in zip(DEFECTS, panels)
    )
    ends = {name: [pick(pick(p[name].ravel()) for p in panels) for pick in (min, max)] for name in CHANCES}
    chances = (f'{TITLES[name]} from {low:.2f} to {high:.2f}' for name, (low, high) in ends.items())
    return f'In points, {join_words(found)}; {join_words(chances)}'
