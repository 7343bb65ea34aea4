"""Every figure of the study, in one style: functions return a Figure, which the notebooks show and save."""

from genmix.plots.audit import copy_pairs, generator_card, generator_ranks, mixing_effects
from genmix.plots.calibration import reliability_diagrams, selection_error
from genmix.plots.contrasts import among_cohorts, forest
from genmix.plots.controls import control_scores
from genmix.plots.diffusion import kid_through_training, write_animation
from genmix.plots.effect_map import effect_panels, effect_profiles
from genmix.plots.gan import augmentation_curves, feature_maps, training_curves
from genmix.plots.grids import class_blocks, image_grid, sheet, snapshot_grid
from genmix.plots.lesions import (
    histograms,
    holdout_precision,
    lesion_kind,
    phantom_steps,
    pick,
    quiz,
    similar_pairs,
)
from genmix.plots.mixing import batch_mass, beta_densities, examples, labelled_batch, mixed_colours, simplices
from genmix.plots.neighbours import neighbour_statistics
from genmix.plots.pretrained import (
    base_curves,
    captioned_images,
    gray_by_word,
    power_ratio,
    prompt_sheet,
    reconstructions,
)
from genmix.plots.scores import arm_points, confusion, loss_curve, regime_curves
from genmix.plots.subgroups import failure_gallery, noise_scores, subgroup_scores
from genmix.plots.textual_inversion import nearest_words
from genmix.plots.trace import figure1, mixture_labels, run_times, traced_lesion
from genmix.plots.tsne import nearest_lesions, tsne_panels, tsne_sources
from genmix.plots.tuning import data_size_curves, tuning_curves
