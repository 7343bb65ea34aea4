"""Your own images: a folder for each class, or any folder with a list of the images in it."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.duplicates import as_patients
from genmix.data.readers.files import data_folder, find_table, path_inside, read_delimited

ENDINGS = ('.png', '.jpg', '.jpeg', '.tif', '.tiff')
SMALLEST = 32  # pixels: a smaller lesion would be all interpolation at the study's size
COLUMNS = ['file', 'patient', 'label']


def load(data_dir, image_size=64, csv=''):
    """Read a folder of images as a Cohort of uint8 (n, image_size, image_size).

    data_dir    one sub-folder of PNG, JPEG or TIFF files per class, sorted by name.  Names that start with
                '.' or '__' and files of other kinds are skipped.
    image_size  pixels a side
    csv         a table file,patient,label: its path, also relative to data_dir; default: labels.csv in
                data_dir, where there is one.  `file` is relative to data_dir and lies anywhere below it,
                `label` is the class name.

    Images of 8 bits (gray, palette or colour, converted to gray) keep their gray levels.  Images of more bits
    (16-bit, float) are mapped to 0-255 together, from the 0.5 to the 99.5 percentile of them all.
    Ids are relative paths; extra columns: file, width, height (pixels of the file).  Without patients (no
    table, or its patient column left empty) each cluster of near-duplicates is a patient, 'cluster-0001', and
    `source` says so.

    Raises StudyError naming the folder, class, row or file that cannot be used, and the fix.
    """
    root = data_folder(data_dir, 'your images')
    table = find_table(root, csv, 'labels.csv')
    if csv and not table:
        raise StudyError(
            f'The table "{csv}" does not exist: correct csv, or leave it empty to use folders as classes.'
        )
    rows = _from_table(root, table) if table else _from_folders(root)
    names = sorted(rows.label.unique())
    if len(names) < 2:
        raise StudyError(
            f'"{root}" has images of one class only ("{names[0]}"): add a folder or label for a second class.'
        )
    images, sizes = _read_all(root, rows.file, image_size)
    patients, known = rows.patient, f'{rows.patient.nunique()} patients'
    if not patients.any():
        patients, clusters = as_patients(images)
        known = f'patients unknown: {clusters} near-duplicate clusters kept together'
    extra = pd.DataFrame({'file': rows.file, 'width': sizes[:, 0], 'height': sizes[:, 1]})
    source = f'{root.resolve().name}, {len(rows)} images ({known})'
    return Cohort(images, rows.label.map(names.index), patients, names, source, rows.file, extra)


def _visible(folder):
    return sorted(p for p in folder.iterdir() if not p.name.startswith(('.', '__')))


def _from_folders(root):
    """The images of each class folder: a DataFrame file, patient (empty), label."""
    folders = [p for p in _visible(root) if p.is_dir()]
    if not folders:
        raise StudyError(
            f'"{root}" has no class folders: put the images into one sub-folder per class, '
            'or list them in labels.csv.'
        )
    rows = []
    for folder in folders:
        content = _visible(folder)
        # a nested folder may be a patient, a split or a mask: guessing would make wrong classes
        if nested := [p.name for p in content if p.is_dir()]:
            raise StudyError(
                f'Class folder "{folder.name}" has a sub-folder "{nested[0]}": move its images up, '
                'or list them in labels.csv.'
            )
        files = [p for p in content if p.suffix.lower() in ENDINGS]
        if not files:
            found = ', '.join(sorted({p.suffix or p.name for p in content})) or 'nothing'
            raise StudyError(
                f'Class folder "{folder.name}" holds no PNG, JPEG or TIFF image (found: {found}): '
                'add or convert images, or remove the folder.'
            )
        rows += [(f'{folder.name}/{p.name}', '', folder.name) for p in files]
    return pd.DataFrame(rows, columns=COLUMNS)


def _from_table(root, path):
    """The rows of the table, checked: a DataFrame file, patient, label, all str, in the order of the file."""
    try:
        text, separator = read_delimited(path)
        rows = pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise StudyError(
            f'"{path.name}" is not a readable table ({error}): '
            'save it as CSV in UTF-8 with columns file,patient,label.'
        ) from error
    rows.columns = rows.columns.str.strip().str.lower()
    for name in COLUMNS:
        if name not in rows:
            raise StudyError(
                f'"{path.name}" has no column "{name}": it needs file,patient,label '
                '(leave patient empty where unknown).'
            )
    rows = rows[COLUMNS].apply(lambda column: column.fillna('').str.strip())
    if rows.empty:
        raise StudyError(f'"{path.name}" lists no images: add one row file,patient,label per image.')
    rows['file'] = [path_inside(root, file, f'"{path.name}"', files_only=True) for file in rows.file]
    no_patient = 'has no patient while others have: fill it in, or empty the column'
    for bad, why in (
        (rows.file.duplicated(), 'is listed twice: keep one row per file'),
        (rows.label == '', 'has an empty label: fill it in or remove the row'),
        ((rows.patient == '') & rows.patient.any(), no_patient),
    ):
        if bad.any():
            raise StudyError(f'"{rows.file[bad].iloc[0]}" in "{path.name}" {why}.')
    return rows


def _read_all(root, files, size):
    """uint8 (n, size, size) and int (n, 2) widths and heights; decoding releases the GIL, so threads help."""
    with ThreadPoolExecutor() as pool:
        pixels, sizes = zip(*pool.map(lambda file: _read(root / file, file, size), files))
    return _to_common_range(pixels), np.array(sizes)


def _read(path, name, size):
    """One image as (size, size), uint8 or, of more than 8 bits, float32; and its width and height."""
    try:
        with Image.open(path, formats=('PNG', 'JPEG', 'TIFF')) as image:
            pages = getattr(image, 'n_frames', 1) if image.format == 'TIFF' else 1
            image = ImageOps.exif_transpose(image)
            image.info.pop('transparency', None)  # transparency is not the gray of the lesion
            deep = image.mode.startswith(('I', 'F'))
            pixels = np.asarray(image, np.float32) if deep else np.asarray(image.convert('L'))
    except Exception as error:  # decoders raise errors of many types for a damaged file
        raise StudyError(
            f'"{name}" cannot be read as PNG, JPEG or TIFF ({error}): replace or remove it.'
        ) from error
    if pages > 1:
        raise StudyError(f'"{name}" holds {pages} pages: save each as a file of its own.')
    if min(pixels.shape) < SMALLEST:
        raise StudyError(
            f'"{name}" is {pixels.shape[1]} x {pixels.shape[0]} pixels: '
            f'images need at least {SMALLEST} a side; remove or replace it.'
        )
    if not np.isfinite(pixels).all():
        raise StudyError(
            f'"{name}" has pixels that are not numbers (NaN or infinite): replace them or remove the image.'
        )
    # bilinear with antialiasing: no overshoot beside bright edges
    square = Image.fromarray(_pad(pixels)).resize((size, size), Image.BILINEAR)
    return np.asarray(square), pixels.shape[::-1]


def _pad(pixels):
    """`pixels` (H, W) centred in a square of the median of their border.

    Stretching would turn round lesions oval, and cropping may cut them off; a black border would be an edge
    that reveals the shape of the file.
    """
    height, width = pixels.shape
    side = max(height, width)
    if height == width:
        return pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = np.full((side, side), np.median(border), pixels.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _to_common_range(pixels):
    """uint8 (n, H, W) of images that are uint8 or, of more than 8 bits, float32.

    Deep images share one robust range: a range per image would remove real differences of brightness, that of
    the type would leave 12-bit images black.  Two numbers over all images reveal nothing about the test part.
    """
    deep = [p for p in pixels if p.dtype != np.uint8]
    if deep:
        low, high = np.percentile(deep, [0.5, 99.5])
        if high <= low:  # more than 99 % of one value: no robust range, so the whole one
            low, high = np.min(deep), np.max(deep)

        def gray(p):
            return np.clip(np.rint((p - low) * (255 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)

        pixels = [p if p.dtype == np.uint8 else gray(p) for p in pixels]
    return np.stack(pixels)
