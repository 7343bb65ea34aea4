"""Every figure of the study, in one style.  Functions return a matplotlib Figure; the notebooks show and save it."""
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

# The paper's colours (blue cyst, green hemangioma, red metastasis), in shades that differ in lightness too.
CLASS_COLOURS = ('#2b5fb8', '#3a9a4b', '#c8352b', '#8a5fb0', '#b98a1f', '#4f4f4f')
STYLE = {'figure.dpi': 90, 'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.titlesize': 10,
         'svg.hashsalt': 'genmix', 'axes.grid': False, 'legend.frameon': False}
plt.rcParams.update(STYLE)


def colour(k):
    return CLASS_COLOURS[k % len(CLASS_COLOURS)]


def new(width, height, rows=1, columns=1, **kwargs):
    """A figure and its axes (rows, columns)."""
    fig = blank(width, height, layout='constrained')
    return fig, fig.subplots(rows, columns, squeeze=False, **kwargs)


def blank(width, height, **kwargs):
    """An empty figure that a notebook shows once, by being the value of its cell, and not again at the cell's end."""
    fig = plt.figure(figsize=(width, height), **kwargs)
    plt.close(fig)
    return fig


def show(ax, image):
    ax.imshow(image, cmap='gray', vmin=0, vmax=255, interpolation='nearest')
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def montage(images, columns, gap=2):
    """Images uint8 (n, H, W) as one, `columns` wide, white between."""
    n, h, w = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        canvas[y:y + h, x:x + w] = image
    return canvas


def sheet(groups, columns=14, scale=.72):
    """A contact sheet: {title: images uint8 (n, H, W)} stacked below each other."""
    groups = {t: x for t, x in groups.items() if len(x)}
    height = sum(-(-len(x) // columns) for x in groups.values()) * scale + .25 * len(groups)
    fig, axes = new(columns * scale, height, len(groups), height_ratios=[-(-len(x) // columns) for x in groups.values()])
    for ax, (title, images) in zip(axes[:, 0], groups.items()):
        show(ax, montage(np.asarray(images), columns))
        ax.set_title(title, loc='left')
    return fig


def pick(cohort, n, seed=0):
    """{class name: n random images} of a cohort, for a sheet."""
    rng = np.random.default_rng(seed)
    rows = {name: np.flatnonzero(cohort.labels == k) for k, name in enumerate(cohort.class_names)}
    return {name: cohort.images[rng.choice(r, min(n, len(r)), replace=False)] for name, r in rows.items()}


def class_counts(tables):
    """Bars of lesions per class: {title: Series by class}, one panel each."""
    fig, axes = new(2.9 * len(tables), 2.4, 1, len(tables))
    for ax, (title, counts) in zip(axes[0], tables.items()):
        bars = ax.barh(range(len(counts)), counts.to_numpy(), color=[colour(k) for k in range(len(counts))])
        ax.bar_label(bars, [f'{int(n)} ({n / max(counts.sum(), 1):.0%})' for n in counts], padding=3)
        ax.set(yticks=range(len(counts)), yticklabels=counts.index, title=f'{title} (n = {int(counts.sum())})', xlabel='lesions',
               xlim=(0, max(counts.max(), 1) * 1.4))
        ax.invert_yaxis()
    return fig


def histograms(cohort, sizes=None):
    """Gray levels by class, and lesion diameters where they are known (Series by lesion, mm)."""
    fig, axes = new(9, 2.6, 1, 1 if sizes is None else 2)
    for k, name in enumerate(cohort.class_names):
        gray = cohort.images[cohort.labels == k].ravel()
        axes[0, 0].hist(gray, 64, (0, 256), density=True, histtype='step', color=colour(k), label=name)
        if sizes is not None:
            sns.ecdfplot(x=sizes[cohort.labels == k], ax=axes[0, 1], color=colour(k), label=name)
    axes[0, 0].set(xlabel='gray level', ylabel='density of pixels')
    axes[0, 0].legend()
    if sizes is not None:
        axes[0, 1].set(xlabel='diameter [mm]', ylabel='share of lesions below', xscale='log')
        axes[0, 1].set_xticks([6, 10, 20, 40, 70], [6, 10, 20, 40, 70])
        axes[0, 1].minorticks_off()
    return fig


def holdout_precision(n_small, n_large, name, truth=.7):
    """How far a measured sensitivity may lie from the true one: exact binomial 95 % ranges for two test set sizes."""
    from scipy.stats import binom
    fig, axes = new(6, 2.4)
    ax = axes[0, 0]
    for n, shade, width in ((n_small, '#c8352b', .5), (n_large, '#555555', .5)):
        share = np.arange(n + 1) / n
        ax.plot(share, binom.pmf(np.arange(n + 1), n, truth) * n, color=shade, drawstyle='steps-mid',
                label=f'{n} {name}s: 95 % within [{binom.ppf(.025, n, truth) / n:.2f}, {binom.ppf(.975, n, truth) / n:.2f}]')
    ax.axvline(truth, color='k', lw=.8, ls=':')
    ax.set(xlabel=f'measured sensitivity when the true one is {truth:.2f}', ylabel='density', yticks=[])
    ax.legend(loc='upper left', bbox_to_anchor=(0, 1.3))
    return fig


def training_curves(log, class_names, title=''):
    """Losses and the collapse measure through training, from a generator's train_log."""
    fig, axes = new(9, 2.6, 1, 2)
    axes[0, 0].plot(log.step, log.critic_loss, color='#555555', label='critic')
    axes[0, 0].plot(log.step, log.generator_loss, color='#d08a1a', label='generator')
    axes[0, 0].set(xlabel='step', ylabel='loss', title=title)
    axes[0, 0].legend()
    for k, name in enumerate(class_names):
        if f'spread_{k}' in log:
            axes[0, 1].plot(log.step, log[f'spread_{k}'], color=colour(k), label=name)
    axes[0, 1].axhline(1, color='k', lw=.8, ls=':')
    axes[0, 1].set(xlabel='step', ylabel='spread within class\n(1 = as varied as real)', ylim=(0, 1.3))
    axes[0, 1].legend()
    return fig


def filmstrip(sheets, class_names, steps):
    """Samples of fixed z through training: uint8 (T, K, n, H, W); one row a moment, one block a class."""
    fig, axes = new(10.5, .46 * len(sheets) + .3, len(sheets), len(class_names))
    for t, row in enumerate(axes):
        for k, ax in enumerate(row):
            show(ax, montage(sheets[t, k], len(sheets[t, k])))
            if t == 0:
                ax.set_title(class_names[k])
            if k == 0:
                ax.set_ylabel(f'step {steps[t]}', rotation=0, ha='right', va='center')
    return fig


def beta_densities(alphas):
    """Density of the mixing weight for several alpha."""
    from scipy.stats import beta
    fig, axes = new(5, 2.4)
    x = np.linspace(.002, .998, 500)
    for alpha, shade in zip(alphas, sns.color_palette('viridis', len(alphas))):
        axes[0, 0].plot(x, beta.pdf(x, alpha, alpha), color=shade, label=f'α = {alpha:g}')
    axes[0, 0].set(xlabel='λ, the weight of the real image', ylabel='density', ylim=(0, 4))
    axes[0, 0].legend()
    return fig


def mixing_strip(first, second, lams, names=('real', 'synthetic')):
    """Two lesions and their mixtures for several lambda; images uint8 (H, W)."""
    from genmix.mixing import blend
    fig, axes = new(1.25 * len(lams), 1.6, 1, len(lams))
    for ax, lam in zip(axes[0], lams):
        show(ax, blend(first[None], second[None], np.array([lam]))[0])
        ax.set_title({1: f'{names[0]}\nλ = 1', 0: f'{names[1]}\nλ = 0'}.get(lam, f'λ = {lam:g}'))
    return fig


def simplex(soft, class_names, title=''):
    """Soft labels (n, 3) in the triangle of three classes; other class counts give a bar of mean mass."""
    fig, axes = new(3.6, 3.1)
    ax = axes[0, 0]
    if soft.shape[1] != 3:
        ax.bar(class_names, soft.mean(0), color=[colour(k) for k in range(soft.shape[1])])
        ax.set(ylabel='mean label mass', title=title)
        return fig
    corners = np.array([[0, 0], [1, 0], [.5, 3 ** .5 / 2]])
    ax.plot(*corners[[0, 1, 2, 0]].T, color='k', lw=.8)
    ax.scatter(*(soft @ corners).T, s=14, alpha=.35, color=[tuple(c) for c in mixed_colours(soft)], linewidths=0)
    for k, (x, y) in enumerate(corners):
        ax.text(x, y + (.06 if y else -.06), class_names[k], ha='center', va='center', color=colour(k))
    ax.set(title=title, aspect='equal', xlim=(-.25, 1.25), ylim=(-.12, 1))
    ax.axis('off')
    return fig


def mixed_colours(soft):
    """Class colours blended by soft labels: float (n, 3)."""
    from matplotlib.colors import to_rgb
    return np.clip(soft @ np.array([to_rgb(colour(k)) for k in range(soft.shape[1])]), 0, 1)


def figure1(real, synthetic, mixed, lam, class_names):
    """The method in one drawing (Figure 1 of the paper, drawn anew): learn, sample, mix, classify.  Images uint8 (n >= 3, H, W)."""
    fig = blank(10.5, 3.3)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 21), ylim=(0, 6.6))
    ax.axis('off')

    def stack(images, x, y, title):
        for i, image in enumerate(images[:3]):
            left, low = x + .3 * i, y - .25 * i
            ax.imshow(image, cmap='gray', vmin=0, vmax=255, extent=(left, left + 1.7, low, low + 1.7), zorder=i + 2, aspect='auto')
        ax.text(x + 1.15, y + 1.9, title, ha='center', weight='bold')

    def box(x, y, text):
        ax.text(x, y, text, ha='center', va='center', bbox={'boxstyle': 'round,pad=.5', 'fc': '#f1ede4', 'ec': '#77715f'})

    def arrow(a, b, bend=0.):
        ax.annotate('', b, a, arrowprops={'arrowstyle': '-|>', 'color': '#555555', 'lw': 1.2, 'connectionstyle': f'arc3,rad={bend}'})

    stack(real, .5, 4.0, 'real lesions')
    stack(synthetic, 6.0, .8, 'synthetic lesions')
    stack(mixed, 14.0, 2.4, f'GenMix, λ = {lam:.2f}')
    box(3.6, 1.4, 'stage 1\ngenerative model')
    box(10.9, 3.1, 'stage 2\nx̃ = λ x + (1−λ) x′\nỹ = λ y + (1−λ) y′\nλ ~ Beta(α, α)')
    box(19.0, 3.1, 'VGG-16\n' + '\n'.join(class_names))
    for a, b, bend in (((1.5, 3.3), (2.1, 1.7), .25), ((5.0, 1.4), (5.9, 1.4), 0), ((8.5, 1.6), (9.6, 2.2), .2),
                       ((3.0, 5.0), (10.9, 4.4), -.2), ((12.6, 3.1), (13.8, 3.1), 0), ((16.5, 3.1), (17.7, 3.1), 0)):
        arrow(a, b, bend)
    return fig


def examples(rows, class_names, n=5):
    """Figure 3: {kind: {class: images}} as a grid, kinds downwards, classes across."""
    fig, axes = new(10.5, .74 * len(rows) + .25, len(rows), len(class_names))
    for i, (kind, by_class) in enumerate(rows.items()):
        for k, name in enumerate(class_names):
            images = by_class[name][:n]
            if len(images):
                show(axes[i, k], montage(images, n))
            else:
                axes[i, k].axis('off')
            if i == 0:
                axes[i, k].set_title(name, color=colour(k))
        axes[i, 0].set_ylabel(kind, rotation=0, ha='right', va='center')
    return fig


def regime_curves(table, chosen_steps):
    """Balanced accuracy on dev against training steps: columns arm, steps, seed, balanced_accuracy; the chosen length is marked."""
    fig, axes = new(6, 3)
    ax = axes[0, 0]
    for arm, shade in zip(table.arm.unique(), sns.color_palette('colorblind')):
        part = table[table.arm == arm].groupby('steps').balanced_accuracy
        mean, half = 100 * part.mean(), 196 * part.std(ddof=1) / part.size() ** .5
        ax.errorbar(mean.index, mean, half, marker='o', ms=4, capsize=2, label=arm, color=shade)
    ax.axvline(chosen_steps, color='k', lw=.8, ls=':', label='chosen')
    ax.set(xlabel='optimiser steps', ylabel='balanced accuracy on dev [%]', xscale='log')
    ax.set_xticks(sorted(table.steps.unique()), sorted(table.steps.unique()))
    ax.minorticks_off()
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    return fig


def loss_curves(losses, window=25):
    """Smoothed training loss of each arm: {arm: loss (steps,)}."""
    fig, axes = new(6.5, 2.8)
    for (arm, loss), shade in zip(losses.items(), sns.color_palette('tab20', len(losses))):
        smooth = np.convolve(loss, np.ones(window) / window, 'valid')
        axes[0, 0].plot(np.arange(len(smooth)) + window, smooth, label=arm, color=shade, lw=1)
    axes[0, 0].set(xlabel='step', ylabel='soft-label cross entropy')
    axes[0, 0].legend(loc='upper left', bbox_to_anchor=(1, 1))
    return fig


def arm_points(metrics, order, metric='balanced_accuracy'):
    """Every run of the arms in `order` on each test set: one point a seed, a bar at the mean; from metrics.csv."""
    table = metrics[(metrics.metric == metric) & (metrics.label == 'all')].assign(value=lambda t: 100 * t.value)
    sets = list(table.test_set.unique())
    fig, axes = new(4.6 * len(sets), .3 * table.arm.nunique() + .9, 1, len(sets), sharey=True)
    for ax, test_set in zip(axes[0], sets):
        part = table[table.test_set == test_set]
        sns.stripplot(part, x='value', y='arm', order=order, ax=ax, color='#777777', size=4, alpha=.7, jitter=.15)
        sns.pointplot(part, x='value', y='arm', order=order, ax=ax, color='#c8352b', linestyle='none', marker='|', markersize=14, errorbar=None)
        ax.set(xlabel=metric.replace('_', ' ') + ' [%]', ylabel='', title=test_set)
    return fig


def forest(table, title=''):
    """Contrasts as a forest plot: rows of contrasts.csv; differences in percentage points with 95 % intervals."""
    fig, axes = new(6.8, .38 * len(table) + .9)
    ax = axes[0, 0]
    shade = {'higher': '#2b5fb8', 'lower': '#c8352b', 'undecided': '#777777'}
    for i, row in enumerate(table.itertuples()):
        ax.plot([100 * row.low, 100 * row.high], [i, i], color=shade[row.verdict], lw=2)
        ax.plot(100 * row.mean, i, 'o', color=shade[row.verdict])
    ax.axvline(0, color='k', lw=.8, ls=':')
    ax.set(yticks=range(len(table)), yticklabels=[f'{r.a} − {r.b}   ({r.verdict})' for r in table.itertuples()], title=title,
           xlabel=f'difference in {table.metric.iloc[0].replace("_", " ")} [percentage points]', ylim=(-.6, len(table) - .4))
    ax.invert_yaxis()
    return fig


def confusion(matrices, class_names):
    """Row-normalised confusion matrices, one panel an arm: {arm: counts (K, K)}."""
    columns = min(4, len(matrices))
    rows = -(-len(matrices) // columns)
    fig, axes = new(2.5 * columns, 2.35 * rows, rows, columns)
    for ax in axes.flat[len(matrices):]:
        ax.axis('off')
    for ax, (arm, counts) in zip(axes.flat, matrices.items()):
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        sns.heatmap(share, ax=ax, vmin=0, vmax=1, cmap='Blues', annot=True, fmt='.0%', cbar=False, square=True,
                    xticklabels=[n[:4] for n in class_names], yticklabels=[n[:4] for n in class_names])
        ax.set_title(arm)
    axes[0, 0].set(ylabel='true', xlabel='predicted')
    return fig
