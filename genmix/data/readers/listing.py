"""What a folder of images holds: a class per sub-folder, and what is passed over with its number."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field

from genmix import StudyError
from genmix.data.readers.pictures import ENDINGS, KINDS

# What systems and archives put beside files of their own accord; names that start with '.', '__' or '@' too.
SYSTEM = {
    *('lost+found', 'system volume information', '$recycle.bin', 'recycler', '#recycle', '#snapshot'),
    *('thumbs.db', 'desktop.ini', 'icon\r'),
}
PART = re.compile(
    r'(train(ing)?|test(ing)?|val(id(ation)?)?|dev|eval(uation)?|hold[-_ ]?out)'
    r'[-_ ]*(data(set)?|set|images?|imgs?|\d+)?'
)
MASK = {
    *('mask', 'masks', 'seg', 'segm', 'segmentation', 'segmentations', 'segmented', 'gt', 'groundtruth'),
    *('ground', 'truth', 'label', 'labels', 'overlay', 'overlays', 'annotation', 'annotations', 'annotated'),
    *('masked', 'segmask', 'anno', 'annot', 'pred', 'prediction', 'predicted', 'superpixels', 'thumbnail'),
    *('contour', 'contours', 'outline', 'roi', 'rois', 'bbox', 'heatmap', 'gradcam', 'cam', 'saliency'),
}
PLAIN = {'image', 'images', 'img', 'imgs', 'original', 'orig', 'raw', 'folder', 'files'}


@dataclass
class Listing:
    """rows [(file, class)], and what was passed over."""

    rows: list = field(default_factory=list)
    companions: list = field(default_factory=list)
    others: Counter = field(default_factory=Counter)
    twins: list = field(default_factory=list)
    outside: int = 0

    def notes(self):
        """Rows (check, count, of, verdict, note) for the table of checks."""
        total = len(self.rows) + len(self.companions) + self.others.total() + self.outside
        kinds = ', '.join(f'{name} {n}' for name, n in self.others.most_common(8))
        such, twin = (f', such as "{own[0]}"' if own else '' for own in (self.companions, self.twins))
        for check, n, verdict, note in (
            ('masks and overlays of images', len(self.companions), 'left out', f'passed over by name{such}'),
            ('files of other kinds', self.others.total(), 'look', f'not read: {kinds}' if kinds else ''),
            ('images of one name in several formats', len(self.twins), 'look', f'copies, or masks?{twin}'),
            ('images outside the class folders', self.outside, 'look', 'not read'),
        ):
            yield check, n, total, verdict if n else 'ok', note


def list_classes(root):
    """The images of each class folder in `root`: a Listing, classes and files sorted by name.

    Raises StudyError for a folder that is no class or holds no image, naming it and the fix.
    """
    found = Listing()
    top = visible(root, root.name)
    folders = [p for p in top if p.is_dir()]
    if lost := [p.name for p in top if p.is_symlink() and not p.exists()]:
        raise StudyError(f'"{lost[0]}" is a link to a folder that does not exist: restore or remove it.')
    if not folders:
        raise StudyError(
            f'"{root}" has no class folders: put the images into one sub-folder per class, '
            'or list them in labels.csv.'
        )
    _check_names(root, folders)
    found.outside = sum(p.suffix.lower() in ENDINGS for p in top if not p.is_dir())
    for folder in folders:
        _add_class(found, folder)
    return found


def visible(folder, name):
    """What is in `folder`, sorted, except what systems put there; StudyError where it may not be read."""
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise StudyError(f'The folder "{name}" may not be read: ask for the right to, or copy the set.')
    return sorted(
        p
        for p in folder.iterdir()
        if not p.name.startswith(('.', '__', '@')) and p.name.lower() not in SYSTEM
    )


def is_mask_name(name):
    """Whether a folder is named for masks: "masks", "ground truth", "mask_images"."""
    words = set(_words(name))
    return bool(words & MASK) and words <= MASK | PLAIN


def companions(names):
    """Those of the file `names` that are masks or overlays by name: "a_mask.png" beside "a.png"."""
    words = {name: _words(name.rpartition('.')[0]) for name in names}
    images = {tuple(w for w in own if w not in PLAIN) for own in words.values() if not MASK & set(own)}
    return [name for name, own in words.items() if MASK & set(own) and _without_mask(own) & images]


def _without_mask(words):
    """What the image of a mask of these words may be called: without the mask words, or what follows too."""
    last = max(i for i, word in enumerate(words) if word in MASK)
    before = [w for w in words[:last] if w not in MASK | PLAIN]
    after = [w for w in words[last + 1 :] if w not in MASK | PLAIN]
    return {tuple(before), tuple(before + after)}


def _words(name):
    """Lower-case words of a name: "benign (1)Mask" -> benign, 1, mask."""
    return re.findall(r'\d+|[^\W\d_]+', re.sub(r'(?<=[a-z0-9])(?=[A-Z])', ' ', name).lower())


def _check_names(root, folders):
    """StudyError where folders are parts of a split, or masks."""
    parts = [p for p in folders if PART.fullmatch(p.name.lower())]
    if len(parts) > 1 or len(parts) == len(folders):
        below = next((p for p in parts if any(q.is_dir() for q in visible(p, p.name))), None)
        fix = f'set data_dir to one, such as {below}' if below else 'make one sub-folder per class instead'
        names = ' and '.join(f'"{p.name}"' for p in parts)
        raise StudyError(
            f'{names} in "{root.name}" are parts of a split, not classes: {fix}, '
            'or list all images in labels.csv; the study splits by patient itself.'
        )
    if masks := [p.name for p in folders if is_mask_name(p.name)]:
        raise StudyError(
            f'"{masks[0]}" holds masks by its name, and no class: move it out of data_dir, '
            'or list the images in labels.csv.'
        )


def _add_class(found, folder):
    """Add the images of one class folder to a Listing."""
    content = visible(folder, folder.name)
    # a nested folder may be a patient or a split: guessing would make wrong classes
    nested = [p for p in content if p.is_dir()]
    masks = [f'{p.name}/{q.name}' for p in nested if is_mask_name(p.name) for q in visible(p, p.name)]
    if strange := [p.name for p in nested if not is_mask_name(p.name)]:
        raise StudyError(
            f'Class folder "{folder.name}" has a sub-folder "{strange[0]}": move its images up, '
            'or list them in labels.csv.'
        )
    files = [p.name for p in content if p.suffix.lower() in ENDINGS and not p.is_dir()]
    own = companions(files)
    others = Counter(p.suffix.lower() or p.name for p in content if p.name not in files and not p.is_dir())
    if len(own) == len(files):
        kinds = ', '.join(sorted(others)) or 'nothing'
        raise StudyError(
            f'Class folder "{folder.name}" holds no {KINDS} image (found: {kinds}): '
            'add or convert images, or remove the folder.'
        )
    found.rows += [(f'{folder.name}/{name}', folder.name) for name in files if name not in set(own)]
    stems = Counter(name.rpartition('.')[0] for name in files)
    found.twins += [f'{folder.name}/{name}' for name in files if stems[name.rpartition('.')[0]] > 1]
    found.companions += [f'{folder.name}/{name}' for name in own + masks]
    found.others += others
