"""Figures of diffusion: noise levels, Figure 2 as an animation, two trainings side by side, what sampling settings do."""

from PIL import Image

from genmix.data.images import montage
from genmix.plots.style import dashes, listed, marker, new, shade


def animated(film, columns, path, seconds=6.0):
    """Write an animated GIF: film uint8 (moments, K, n, H, W), one row a class; the last moment stays for as long as all others."""
    frames = [Image.fromarray(montage(moment.reshape(-1, *moment.shape[2:]), columns)) for moment in film]
    frames = [frame.resize((2 * frame.width, 2 * frame.height), Image.NEAREST) for frame in frames]
    each = 1000 * seconds / (2 * len(frames))
    frames[0].save(
        path,
        'gif',
        save_all=True,
        append_images=frames[1:],
        duration=[each] * (len(frames) - 1) + [each * len(frames)],
        loop=0,
    )


def kid_through_training(tables, floor):
    """KID of samples against training step, one line a training.

    tables  {title: table with columns step, kid, sd}; bars are one standard deviation over subsets      floor   KID of as many real lesions
    """
    fig, axes = new(5.5, 3.2)
    ax, said = axes[0, 0], []
    for i, (title, t) in enumerate(tables.items()):
        ax.errorbar(
            t.step.clip(lower=t.step[t.step > 0].min() / 2),
            t.kid,
            t.sd,
            color=shade(i + 1),
            ls=dashes(i),
            marker=marker(i),
            ms=4,
            capsize=2,
            label=title,
        )
        said.append(f'{title} from {t.kid.iloc[0]:.1f} to {t.kid.iloc[-1]:.1f} in {t.step.iloc[-1]} steps')
    ax.axhline(floor, color='k', lw=0.8, ls=':', label='real lesions')
    ax.set(
        xscale='log',
        yscale='symlog',
        xlabel='training step (the first point: before training)',
        ylabel='KID, 0 is best',
    )
    ax.set_ylim(min(-0.2, floor - 0.2), None)
    ax.legend()
    fig.alt = f'KID against training steps, both on logarithmic axes: {listed(said)}; as many real lesions have {floor:.2f}.'
    return fig


def sampling_sweep(tables, used):
    """What settings of sampling do: one column a setting, one row a metric.

    tables   {setting: table with the setting as index, columns metrics, as shares of real lesions or as they are}
    used     {setting: value that the study uses}, marked
    """
    metrics = list(next(iter(tables.values())).columns)
    fig, axes = new(
        3.3 * len(tables), 1.55 * len(metrics) + 0.4, len(metrics), len(tables), sharey='row', sharex='col'
    )
    for column, (setting, table) in zip(axes.T, tables.items()):
        for i, (ax, metric) in enumerate(zip(column, metrics)):
            ax.plot(table.index, table[metric], color=shade(1), marker=marker(0), ms=4)
            ax.axvline(used[setting], color='k', lw=0.8, ls=':')
        column[-1].set_xlabel(setting)
    for ax, metric in zip(axes[:, 0], metrics):
        ax.set_ylabel(metric)
    best = (
        f'{metric} goes from {t[metric].iloc[0]:.2f} to {t[metric].iloc[-1]:.2f} as {setting} goes from {t.index[0]:g} to {t.index[-1]:g}'
        for setting, t in tables.items()
        for metric in metrics
    )
    fig.alt = f'Metrics of samples against settings of sampling: {listed(best)}. Dotted lines mark {listed(f"{k} {v:g}" for k, v in used.items())}, which the study uses.'
    return fig
