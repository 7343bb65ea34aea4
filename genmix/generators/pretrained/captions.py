"""The language of the base: its vocabulary, its tokenizer, and words for what can be measured of a picture.

The vocabulary is general words of pictures.  It was fixed before Textual Inversion was tried on the base and
has not been changed for it.  Whoever wrote it knows what lesions look like; for this reason one variant of
the base was trained on photographs alone.
"""

from collections import Counter

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_laplace, sobel

WORDS = """
a an the of with on in at over
photo picture image drawing painting
black dark gray bright white faint strong low high contrast
tiny small medium large huge
sharp soft blurred smooth grainy rough cloudy shaded striped grain fine coarse plain
middle left right top bottom
spot dots lines vertical horizontal diagonal rim core background
disc discs ellipse ellipses ring rings square squares triangle triangles star crosses cross bar bars
crescent crescents blob blobs
two three many
temple roof flowers petals face bricks wall fur wood coins grass gravel stones stars night sky text letters
drops leaves garden meadow beetle clouds seeds curtain lights lamps trees brushes room mountains film dogs
river snow hills shades folds sea bark ribbons silk waves curves tiles mosaic slats
"""
# Nouns of the clip art, by which tools/base/clipart.py names its pictures.
NOUNS = """
acorn airplane anchor angel animal ant antenna apple arch arrow axe baby bacon badge bag ball balloon bamboo
banana banner barn barrel baseball bat battery beach bear beaver bed bee beer bell berries bicycle bike bird
bishop boat bomb book bookmark boot bottle bowl box boy branch bread broom brush bubble bucket bug building
bulb bull bullet burger bus butterfly button cactus cake calculator callout camel camera candle candy cap
car card cassette castle cat cd cello certificate chain chair champagne chart check cheese cherry chess
chicken chip chocolate church circle clef clipboard clock clothing cloud clown coat cocktail coffee coin
column compass computer cone connector container cook cookie corn cow crayon cream crescent croissant cross
crow crown cube cup daffodil dairy daisy dancer decoration deer desk dessert diagram diamond dice dinosaur
disc disk document dog dolphin dragon drill drink drop drum duck dvd eagle earth egg electronics elephant
elevator ellipse engine envelope eye factory fan farmer feet fence fern figure file fire fireman fireworks
fish flag flask floppy flower folder food foot football fountain fox frame frog fruit furniture game garlic
gate gift giraffe girl glass globe glove goat gradient grapes grenade guitar gull gun hammer hand hardware
harp hat head headphones heart helmet hole holiday home horse house ice icon ink instrument iron island
jewelry jigsaw joystick juice jukebox jupiter kangaroo key keyboard king knife knight knitting knot ladybug
lamp laptop leaf lemon letter lighthouse lightning lime line lion lips lizard lock lollipop lorry mailbox
man map meat melon microphone milk minus money monitor monkey moon mosquito motorcycle mountain mouse muffin
mug mushroom nail network newspaper note notebook number octagon office onion orange owl package padlock
paint palette palm pan pancake panel paper paperclip parchment parking party pasta pattern pawn peach pear
pen pencil penguin people pepper person phone piano pie pig pin pineapple pirate pizza plane planet plant
plate player plum plus pointer police polygon portrait pot potato pretzel prince princess printer pumpkin
puzzle queen question raccoon radio rainbow record rectangle religion rhinoceros ribbon ring road robot
rocket rook rooster root rose router ruler runner sailboat sailor salad sandal sandwich satellite saturn
sausage saw scale scanner school science scissors scorpion screen screwdriver scroll server shamrock shape
sheep shield ship shirt shoe shovel sign signal silhouette skier smiley snail snake snowman socket soup
speaker spider spiral sport square squirrel stamp star steak stick stickman stop strawberry submarine
suitcase sun sunglasses swan switch sword symbol table tack tank taxi tea teapot teddy telephone telescope
television tennis ticket tie tiger toast tool tower toy traffic train tram trash tree triangle trophy truck
trumpet tulip turkey turtle umbrella user vacuum van vegetable vehicle violin wallet wand wasp water
watermelon weapon weather whale wheel window wine wizard wolf woman worm wreath wrench zebra
"""
LENGTH = 24  # tokens of a prompt, begin and end among them
TONES = ((0.2, 'black'), (0.38, 'dark'), (0.6, 'gray'), (0.8, 'bright'), (2.0, 'white'))
THIRDS = ('top', '', 'bottom'), ('left', '', 'right')


def vocabulary():
    """Every word of the base, sorted."""
    return sorted({*WORDS.split(), *NOUNS.split()})


def make_tokenizer(length=LENGTH):
    """A CLIPTokenizer in which each word of the vocabulary is one token.

    Other words become letters, unknown characters the end token.  Begin, end, padding and unknown are CLIP's:
    <|startoftext|>, <|endoftext|>.
    """
    from transformers import CLIPTokenizer

    signs = [chr(c) for c in (*range(48, 58), *range(97, 123))] + [',', '.', '-']
    merges = byte_pairs(vocabulary())
    tokens = [*signs, *(s + '</w>' for s in signs), *(a + b for a, b in merges)]
    tokens += ['<|startoftext|>', '<|endoftext|>']
    return CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, model_max_length=length)


def byte_pairs(words):
    """Byte-pair encoding (Sennrich et al. 2016): merges, frequent pairs first, until a word is one token."""
    parts = {w: [*w[:-1], w[-1] + '</w>'] for w in words}
    merges = []
    while pairs := Counter(pair for part in parts.values() for pair in zip(part, part[1:])):
        merges.append(pair := max(pairs, key=lambda p: (pairs[p], p)))
        parts = {w: merged(part, pair) for w, part in parts.items()}
    return merges


def merged(part, pair):
    """`part` with each occurrence of the two tokens of `pair` joined, from the left."""
    out = []
    for token in part:
        if out and (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return out


def tone(level):
    """The word for a gray level in [0, 1]."""
    return next(word for limit, word in TONES if level < limit)


def place(y, x):
    """Words for y and x in [0, 1) from the top left: 'in the middle', 'at the top left', 'on the left'."""
    words = [third[min(int(v * 3), 2)] for third, v in zip(THIRDS, (y, x))]
    words = [w for w in words if w]
    preposition = 'on' if words in (['left'], ['right']) else 'at'
    return f'{preposition} the {" ".join(words)}' if words else 'in the middle'


def describe(image):
    """What can be measured of a picture uint8 (H, W), as {attribute: words}; what is not marked is left out.

    Attributes: tone, texture, sharpness, contrast, stripes (structure tensor), spot (strongest of three
    Laplacians of Gaussian), shading (a fitted plane).
    """
    x = image.astype(np.float32) / 255
    fine, coarse = x - gaussian_filter(x, 1), gaussian_filter(x, 1) - gaussian_filter(x, 3)
    attributes = {
        'tone': tone(x.mean()),
        'texture': texture(fine.std(), coarse.std()),
        'sharpness': sharpness(x, x.std()),
        'contrast': 'low contrast' if x.std() < 0.06 else 'high contrast' if x.std() > 0.24 else '',
        'stripes': stripes(x, coarse.std()),
        'spot': spot(x),
        'shading': shading(x),
    }
    return {k: v for k, v in attributes.items() if v}


def texture(fine, coarse):
    """From the standard deviations of detail below about 2 pixels and between about 2 and 8."""
    if fine < 0.008 and coarse < 0.02:
        return 'smooth'
    if fine > 0.03:
        return 'grainy' if fine > 0.8 * coarse else 'rough'
    return 'cloudy' if coarse > 0.02 and fine < 0.015 else ''


def sharpness(x, sd):
    """From the steepest gradients; `sd` is that of the picture."""
    steepest = np.quantile(np.hypot(sobel(x, 0), sobel(x, 1)) / 8, 0.98)
    return 'sharp' if steepest > 0.12 else 'blurred' if steepest < 0.035 and sd > 0.06 else ''


def stripes(x, coarse):
    """Direction of lines where the structure tensor of the whole picture has one: coherence above 0.5."""
    dy, dx = sobel(x, 0), sobel(x, 1)
    yy, xx, xy = (dy * dy).mean(), (dx * dx).mean(), (dx * dy).mean()
    if coarse < 0.015 or np.hypot(xx - yy, 2 * xy) < 0.5 * (xx + yy):
        return ''
    angle = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 180  # of the gradient: 0 crosses vertical lines
    if angle < 22 or angle > 158:
        return 'vertical lines'
    return 'horizontal lines' if 68 < angle < 112 else 'diagonal lines'


def spot(x):
    """The most pronounced roundish spot, '<size> <dark or bright> spot <place>'; '' where none stands out."""
    n, sizes = len(x), {0.05: 'small', 0.1: 'medium', 0.18: 'large'}
    found = {s: s * s * n * n * gaussian_laplace(x, s * n) for s in sizes}
    size, response = max(found.items(), key=lambda item: np.abs(item[1]).max())
    y, col = np.unravel_index(np.abs(response).argmax(), x.shape)
    if abs(response[y, col]) < 0.16:
        return ''
    tint = 'dark' if response[y, col] > 0 else 'bright'
    return f'{sizes[size]} {tint} spot {place((y + 0.5) / n, (col + 0.5) / n)}'


def shading(x):
    """Where the picture is brighter, when a plane explains at least half of its variance."""
    n = len(x)
    t = np.linspace(-1, 1, n, dtype=np.float32)
    up, side = (x * t[:, None]).mean() / (t * t).mean(), (x * t).mean() / (t * t).mean()
    if (up * up + side * side) * (t * t).mean() < 0.5 * x.var() or np.hypot(up, side) < 0.04:
        return ''
    y = (1 + np.sign(up) * (abs(up) > 0.4 * abs(side))) / 2.01
    return f'bright {place(y, (1 + np.sign(side) * (abs(side) > 0.4 * abs(up))) / 2.01)}'
