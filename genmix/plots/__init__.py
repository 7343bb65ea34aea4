"""Every figure of the study, in one style.  Functions return a matplotlib Figure; the notebooks show and save it."""
from genmix.plots.style import colour, shade, dashes, marker, listed, new, blank, save, show, montage
from genmix.plots.lesions import pick, sheet, pairs, class_counts, histograms, holdout_precision, training_curves, filmstrip
from genmix.plots.mixtures import beta_densities, mixing_strip, simplex, mixed_colours, figure1, examples
from genmix.plots.scores import regime_curves, loss_curves, arm_points, forest, confusion
from genmix.plots.stylegan import feature_maps, grid, augmentation_curves
from genmix.plots.embedding import tsne_panels, tsne_sources, nearest_lesions, neighbour_numbers
from genmix.plots.calibration import reliability
from genmix.plots.verdicts import claim_strip, two_runs, gains, luck, help_map
from genmix.plots.card import glance, generators_compared, copies_shown
from genmix.plots.base import captioned, base_curves, reconstructions, kept_power, prompt_sheet, tones_drawn
from genmix.plots.diffusion import animated, kid_through_training, sampling_sweep
from genmix.plots.textual_inversion import nearest_words, ways_compared
from genmix.plots.overview import followed, mixtures_told, minutes
