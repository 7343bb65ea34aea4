"""Every figure of the study, in one style.  Functions return a matplotlib Figure; the notebooks show and save it."""

from genmix.data.images import montage
from genmix.plots.audit import copies_shown, generators_compared, glance
from genmix.plots.calibration import reliability
from genmix.plots.claims import benefit_map, claim_strip, mixing_effects, selection_error, two_runs
from genmix.plots.diffusion import animated, kid_through_training, sampling_sweep
from genmix.plots.lesions import (
    class_counts,
    filmstrip,
    histograms,
    holdout_precision,
    pairs,
    pick,
    sheet,
    training_curves,
)
from genmix.plots.mixing import beta_densities, examples, figure1, mixed_colours, mixing_strip, simplex
from genmix.plots.pretrained import (
    base_curves,
    captioned,
    kept_power,
    prompt_sheet,
    reconstructions,
    tones_drawn,
)
from genmix.plots.scores import arm_points, confusion, forest, loss_curves, regime_curves
from genmix.plots.style import blank, colour, dashes, listed, marker, new, save, shade, show
from genmix.plots.stylegan import augmentation_curves, feature_maps, grid
from genmix.plots.textual_inversion import nearest_words, ways_compared
from genmix.plots.trace import minutes, mixture_labels, traced_lesion
from genmix.plots.tsne import nearest_lesions, neighbour_numbers, tsne_panels, tsne_sources
