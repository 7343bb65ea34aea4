"""Parameters of the two GANs; free of torch, so that the runner checks them before a kernel starts."""

from dataclasses import dataclass

from genmix import StudyError
from genmix.run.limits import bounded, check_fields

GROUP = 8  # images of one class that a batch holds side by side


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """All that DCGAN needs, and StyleGAN2 too.  StudyError for a value out of its bounds.

    batch_size        images per step
    width             channels of the finest size; each coarser one doubles them
    z_dim             length of the noise vector z
    lr                of Adam, in both networks
    d4_augmentation   train on the eight flips and rotations of each image; False for oriented images
    """

    steps: int = bounded(above=0)
    batch_size: int = bounded(above=0)
    width: int = bounded(above=0)
    z_dim: int = bounded(above=0)
    lr: float = bounded(above=0)
    d4_augmentation: bool
    seed: int = bounded(at_least=0)

    def __post_init__(self):
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class StyleGANConfig(GANConfig):
    """Batches come in groups of GROUP images of one class.

    r1_gamma        weight of the squared gradient at real images (R1 penalty), per score of `pack` images
    max_channels    the coarser sizes have no more channels than this
    w_dim           length of the style vector w          mapping_layers   from z to w
    beta1           of Adam in both networks; 0 as published, for trainings a thousand times as long
    path_length     weight of the path length penalty; 0 leaves it out
    style_mixing    share of images made with the w of two z, changed at a random layer
    pack            images of one class that the discriminator scores together; 1 as published
    space_to_depth  the discriminator reads 2 x 2 pixels as channels; False as published
    augmentation    of all that the discriminator sees
    ada_target      r_t that ADA aims at                  ada_images       images for p to climb from 0 to 1
    ema_images      half-life of the EMA of the generator, in images
    psi             truncation at which `sample` draws: 1 none, smaller nearer to the mean w of the class
    """

    r1_gamma: float = bounded(at_least=0)
    max_channels: int = bounded(above=0)
    w_dim: int = bounded(above=0)
    mapping_layers: int = bounded(above=0)
    beta1: float = bounded(at_least=0, at_most=1)
    path_length: float = bounded(at_least=0)
    style_mixing: float = bounded(at_least=0, at_most=1)
    pack: int = bounded(above=0)
    space_to_depth: bool
    augmentation: str = bounded(choices=('ada', 'diffaugment', 'none'))
    ada_target: float = bounded(at_least=0, at_most=1)
    ada_images: int = bounded(above=0)
    ema_images: int = bounded(above=0)
    psi: float = bounded(at_least=0)

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size % GROUP:
            raise StudyError(
                f'batch_size is {self.batch_size}, but the discriminator sees groups of {GROUP} images of '
                f'one class: choose a multiple of {GROUP}.'
            )
        if GROUP % self.pack:
            raise StudyError(
                f'pack is {self.pack}, but it must divide the {GROUP} images of one class that the '
                'discriminator sees side by side: choose 1, 2, 4 or 8.'
            )
