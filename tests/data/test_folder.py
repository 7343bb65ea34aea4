"""Any reasonable folder of images becomes a cohort; any other names its fault."""

import itertools
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image
from scipy.ndimage import gaussian_filter

from genmix import StudyError
from genmix.data import checks
from genmix.data.readers import folder
from genmix.data.splits import make_splits, select

IQ = SHARED / 'iq_othnccd'


def picture(seed, size=64):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 3)
    return (128 + 30 * np.clip(field / field.std(), -3, 3)).astype(np.uint8)


def load(root, **options):
    return folder.load(root, **options)[0]


def notes_of(root, **options):
    """{check: (count, of, verdict, note)} of the reader."""
    return {check: row for check, *row in folder.load(root, **options)[1]}


def put(root, file, pixels, **options):
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path):
    """Three images in each of two classes."""
    root = tmp_path / 'Läsionen und Zysten'
    for k in range(3):
        put(root, f'simple cyst/a {k}.png', picture(k))
        put(root, f'hémangiome/b {k}.png', picture(10 + k))
    return root


def table(root, text, name='labels.csv', encoding='utf-8'):
    (root / name).write_bytes(text.encode(encoding))


def refused(root, says, **options):
    with pytest.raises(StudyError, match=says) as caught:
        load(root, **options)
    assert '\n' not in str(caught.value) and ': ' in str(caught.value)


# ---- what is read


def test_folders_are_classes_and_pixels_are_kept(root):
    (root / '.git').mkdir()
    (root / '__MACOSX').mkdir()
    (root / 'readme.txt').write_text('not an image')
    (root / 'simple cyst' / '._a 0.png').write_text('not an image')
    (root / 'simple cyst' / 'Thumbs.db').write_text('not an image')
    cohort = load(str(root))
    assert cohort.class_names == ('hémangiome', 'simple cyst')
    assert cohort.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert cohort.ids[3] == 'simple cyst/a 0.png' == cohort.extra.file[3]
    assert cohort.extra.columns.tolist() == ['file', 'width', 'height', 'bits', 'format', 'colour']
    np.testing.assert_array_equal(cohort.images, np.stack([picture(s) for s in (10, 11, 12, 0, 1, 2)]))


def test_every_kind_of_file_gives_the_same_gray(tmp_path):
    gray = picture(0)
    rgb = np.repeat(gray[:, :, None], 3, axis=2)
    put(tmp_path, 'a/gray.png', gray)
    put(tmp_path, 'a/rgb.PNG', rgb)
    put(tmp_path, 'a/rgba.png', np.dstack([rgb, np.full_like(gray, 255)]))
    Image.fromarray(gray).convert('P').save(tmp_path / 'a/palette.png', transparency=bytes(range(256)))
    put(tmp_path, 'b/gray.tif', gray, compression='tiff_lzw')
    put(tmp_path, 'b/gray.jpeg', gray, quality=98)
    put(tmp_path, 'b/rgb.jpg', rgb, quality=98)
    images = load(tmp_path).images.astype(int)
    assert np.abs(images - gray).max(axis=(1, 2)).tolist()[:4] == [0, 0, 0, 0]
    assert np.abs(images - gray).max() <= 4


@pytest.mark.parametrize(
    'kind, ending', [(np.uint16, 'png'), (np.uint16, 'tif'), (np.int32, 'tif'), (np.float32, 'tiff')]
)
def test_deep_images_share_one_scale(tmp_path, kind, ending):
    base = picture(0).astype(int)  # 12 bits in 16: dark half and bright whole
    for k, gain in enumerate((4, 8, 12, 16)):
        put(tmp_path, f'{"ab"[k // 2]}/{k}.{ending}', (base * gain).astype(kind))
    images = load(tmp_path).images.astype(int)
    all_values = np.stack([base * gain for gain in (4, 8, 12, 16)])
    low, high = np.percentile(all_values, [0.5, 99.5])
    np.testing.assert_allclose(images, ((all_values - low) / (high - low) * 255).clip(0, 255), atol=1)
    assert (
        images.min() == 0 and images.max() == 255 and images[0].mean() < images[1].mean() < images[3].mean()
    )


def test_deep_images_with_a_rare_bright_spot_are_not_lost(tmp_path):
    for k in range(4):
        pixels = np.zeros((64, 64), np.uint16)
        pixels[10:12, 10 + k] = 40000
        pixels[20:22, 10 + k] = 20000
        put(tmp_path, f'{"ab"[k % 2]}/{k}.png', pixels)
    images = load(tmp_path).images
    assert np.unique(images).tolist() == [0, 128, 255] and np.median(images) == 0


def test_images_that_are_not_square_keep_their_proportions(tmp_path):
    y, x = np.mgrid[:64, :128]
    disc = np.where(np.hypot(x - 64, y - 32) < 20, 40, 150).astype(np.uint8)
    put(tmp_path, 'a/wide.png', disc)
    put(tmp_path, 'b/high.png', disc.T)
    cohort = load(tmp_path, image_size=64)
    for image in cohort.images:
        dark = image < 95
        assert dark.any(0).sum() == dark.any(1).sum() == pytest.approx(20, abs=1)
        assert set(image[0]) == {150} == set(image[:, 0])  # the border goes on, no black bars
    assert cohort.extra[['width', 'height']].to_numpy().tolist() == [[128, 64], [64, 128]]


def test_photographs_are_turned_upright(tmp_path):
    put(tmp_path, 'a/upright.png', picture(0))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by a quarter, clockwise"
    put(tmp_path, 'b/turned.png', np.rot90(picture(0)), exif=exif)
    images = load(tmp_path).images
    np.testing.assert_array_equal(images[0], images[1])


def test_reduction_is_antialiased(tmp_path):
    checks = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    put(tmp_path, 'a/x.png', checks)
    put(tmp_path, 'b/x.png', 255 - checks)
    assert np.abs(load(tmp_path, image_size=48).images[:, 2:-2, 2:-2].astype(int) - 127.5).max() < 3


def test_unknown_patients_come_from_near_duplicates(root):
    put(root, 'simple cyst/copy.jpg', picture(1), quality=60)
    put(root, 'simple cyst/shift.png', np.roll(picture(1), 1, axis=1))
    put(root, 'simple cyst/bright.png', picture(1) + np.uint8(3))
    cohort = load(root)
    who = dict(zip(cohort.ids, cohort.patients))
    assert len({who[f'simple cyst/{f}'] for f in ('a 1.png', 'copy.jpg', 'shift.png', 'bright.png')}) == 1
    assert len(set(who.values())) == 6 and set(who.values()) == {f'cluster-{k:04d}' for k in range(1, 7)}
    assert 'patients unknown: 6 near-duplicate clusters kept together' in cohort.source
    assert (make_splits(cohort).groupby('patient').fold0.nunique() == 1).all()


# ---- depth, colour, kinds of files


@pytest.mark.parametrize('mode', ['RGB', 'LA'])
def test_16_bits_in_several_channels_keep_their_range(tmp_path, mode):
    """12-bit content as 16-bit colour and as gray with alpha has the gray levels of 16-bit gray."""
    deep = [picture(k).astype(np.uint16) * 16 for k in range(4)]
    for k, pixels in enumerate(deep):
        put(tmp_path, f'gray/{"ab"[k // 2]}/{k}.png', pixels)
        channels = [pixels] * 3 if mode == 'RGB' else [pixels, np.full_like(pixels, 65535)]
        save_deep(tmp_path / f'deep/{"ab"[k // 2]}/{k}.png', np.stack(channels, -1))
    gray, colour = folder.load(tmp_path / 'gray')[0], folder.load(tmp_path / 'deep')[0]
    assert np.abs(gray.images.astype(int) - colour.images).max() <= 1 and colour.images.max() == 255
    assert set(colour.extra.bits) == {16} and not colour.extra.colour.any()


def save_deep(path, pixels):
    """A PNG of 16 bits per channel, which Pillow does not write: uint16 (H, W, 2 or 3)."""
    height, width, channels = pixels.shape
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    head = struct.pack('>IIBBBBB', width, height, 16, {2: 4, 3: 2}[channels], 0, 0, 0)
    parts = [(b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = [struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d)) for t, d in parts]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunks))


def test_16_bit_colour_that_cannot_be_read_is_refused(root):
    sitk = pytest.importorskip('SimpleITK')
    deep = np.stack([picture(0).astype(np.uint16) * 16] * 3, -1)
    sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(root / 'simple cyst/deep.tif'))
    refused(root, '"simple cyst/deep.tif" has 16 bits in several channels: save it as 16-bit gray')


def test_one_channel_of_16_bit_colour(tmp_path):
    for k in range(4):
        red, blue = picture(k).astype(np.uint16) * 200, picture(10 + k).astype(np.uint16) * 200
        save_deep(tmp_path / f'all/{"ab"[k // 2]}/{k}.png', np.stack([red, red, blue], -1))
        put(tmp_path, f'blue/{"ab"[k // 2]}/{k}.png', blue)
    blue = load(tmp_path / 'all', channel='blue')
    assert np.array_equal(blue.images, load(tmp_path / 'blue').images) and blue.extra.colour.all()


def test_colour_is_said_to_be_lost_and_one_channel_can_be_taken(root):
    red = np.stack([picture(30), 255 - picture(30), picture(31)], -1)
    put(root, 'simple cyst/red.png', red)
    put(root, 'simple cyst/gray.jpg', np.repeat(picture(32)[..., None], 3, 2), quality=60)
    count, of, verdict, note = notes_of(root)['colour images turned to gray']
    assert (count, of, verdict) == (1, 8, 'look') and 'channel=red' in note
    cohort = load(root, channel='green')
    assert np.array_equal(cohort.images[list(cohort.ids).index('simple cyst/red.png')], 255 - picture(30))
    refused(root, 'channel is "hue": choose one of gray, red', channel='hue')


def test_depth_and_format_that_go_with_a_class_are_flagged(tmp_path):
    for k in range(6):
        put(tmp_path, f'a/{k}.png', picture(k).astype(np.uint16) * 257)
        put(tmp_path, f'b/{k}.jpg', picture(10 + k), quality=95)
    cohort, notes = folder.load(tmp_path)
    _, table, flagged = checks.examine(cohort, notes)
    table = table.set_index('check')
    for what in ('bits per pixel', 'file format'):
        assert table.loc[f'images whose {what} goes with a class'].tolist()[:3] == [6, 12, 'look']
    assert '16: 6 a; 8: 6 b' in table.note['images whose bits per pixel goes with a class']
    assert table.verdict['images whose colour goes with a class'] == 'ok'
    assert flagged.check.value_counts()['images whose bits per pixel goes with a class'] == 6


def test_formats_that_browsers_and_windows_save(tmp_path):
    for k, options in enumerate(({}, {'lossless': True}, {'quality': 98, 'format': 'JPEG'})):
        ending = ('bmp', 'webp', 'jfif')[k]
        put(tmp_path, f'a/{k}.{ending}', picture(0), **options)
        put(tmp_path, f'b/{k}.png', picture(k))
    put(tmp_path, 'a/named wrongly.jpg', picture(0), format='WEBP', lossless=True)
    cohort = load(tmp_path)
    assert np.abs(cohort.images[:4].astype(int) - picture(0)).max() <= 2
    assert cohort.extra.format.tolist()[:4] == ['BMP', 'WEBP', 'JPEG', 'WEBP']


# ---- what is passed over


@pytest.mark.parametrize(
    'mask',
    [
        *('{}_mask.png', '{}_mask_1.png', '{}-seg.png', '{}_GT.bmp', '{} overlay.jpg', '{}.segmentation.png'),
        *('{}Mask.png', 'mask_{}.png', '{}_ground_truth.png', 'masks/{}.png', 'Ground Truth/{}.png'),
    ],
)
def test_masks_of_images_are_no_lesions(tmp_path, mask):
    for k in range(3):
        for name, seed in (('benign', k), ('malignant', 10 + k)):
            put(tmp_path, f'{name}/{name} ({k}).png', picture(seed))
            put(tmp_path, f'{name}/{mask.format(f"{name} ({k})")}', picture(0) // 128 * 255)
    cohort, notes = folder.load(tmp_path)
    rows = {check: row for check, *row in notes}
    assert len(cohort) == 6 and rows['masks and overlays of images'][:3] == [6, 12, 'left out']
    assert 'such as "benign/' in rows['masks and overlays of images'][3]


def test_numbered_images_and_masks(tmp_path):
    for k in range(3):
        for name, seed in (('a', k), ('b', 10 + k)):
            put(tmp_path, f'{name}/img{k}.jpg', picture(seed))
            put(tmp_path, f'{name}/mask{k}.png', picture(0) // 128 * 255)
    assert load(tmp_path).ids.tolist() == [f'{c}/img{k}.jpg' for c in 'ab' for k in range(3)]


def test_names_with_a_mask_word_and_no_image_are_images(tmp_path):
    for k in range(3):
        put(tmp_path, f'a/roi_{k}.png', picture(k))
        put(tmp_path, f'b/label {k}.png', picture(10 + k))
    assert len(load(tmp_path)) == 6


def test_images_of_one_name_in_two_formats_are_questioned(root):
    put(root, 'simple cyst/a 0.jpg', picture(0) // 128 * 255)
    assert notes_of(root)['images of one name in several formats'][:3] == [2, 7, 'look']


def test_masks_in_the_table_are_questioned(root):
    put(root, 'simple cyst/a 0_mask.png', picture(50))
    files = [f'simple cyst/{f}.png,{k}' for k, f in enumerate(('a 0', 'a 0_mask', 'a 1'))]
    table(root, 'file,patient,label\n' + ''.join(f'{f},{"xyy"[k]}\n' for k, f in enumerate(files)))
    assert notes_of(root)['masks and overlays of images'][:3] == [1, 3, 'look']


def test_files_of_other_kinds_are_counted_and_named(root):
    for k in range(2):
        (root / f'simple cyst/{k}.dcm').write_text('no picture')
    (root / 'simple cyst/notes.txt').write_text('a note')
    put(root, 'stray.png', picture(0))
    rows = notes_of(root)
    assert rows['files of other kinds'] == [3, 10, 'look', 'not read: .dcm 2, .txt 1']
    assert rows['images outside the class folders'][:3] == [1, 10, 'look']


def test_what_systems_put_beside_is_passed_over(root):
    for name in ('@eaDir', 'lost+found', '$RECYCLE.BIN', '#recycle', 'System Volume Information', '.Trashes'):
        put(root, f'{name}/x.png', picture(0))
        put(root, f'simple cyst/{name}/x.png', picture(0))
    assert load(root).counts.to_dict() == {'hémangiome': 3, 'simple cyst': 3}


@pytest.mark.parametrize(
    'names', [('train', 'test'), ('Training', 'Testing'), ('train_set', 'val'), ('test 1', 'Test2')]
)
@pytest.mark.parametrize('below', ['', 'cyst/'])
def test_parts_of_a_split_are_no_classes(tmp_path, names, below):
    for name in names:
        put(tmp_path, f'{name}/{below}a.png', picture(0))
    fix = f'set data_dir to one, such as {tmp_path}' if below else 'one sub-folder per class'
    refused(tmp_path, f'are parts of a split, not classes: .*{fix}.*labels.csv')


def test_a_folder_of_masks_is_no_class(tmp_path):
    put(tmp_path, 'images/a.png', picture(0))
    put(tmp_path, 'masks/a.png', picture(1))
    refused(tmp_path, '"masks" holds masks by its name, and no class: move it out')


@pytest.mark.parametrize(
    'names', [('Benign', 'benign'), ('grade 1', 'grade 01'), ('type_a', 'type a'), ('Zyste', 'zyste ')]
)
def test_classes_in_two_spellings(tmp_path, names):
    for k, name in enumerate(names):
        put(tmp_path, f'{name}/{k}.png', picture(k))
    refused(tmp_path, 'differ in case, spaces or leading zeros only: spell one alike')


@pytest.mark.parametrize(
    'names', [('HER2+', 'HER2-'), ('1.5', '1.05'), ('grade 1', 'grade 10'), ('NA', 'None')]
)
def test_classes_that_only_look_alike(tmp_path, names):
    for k, name in enumerate(names):
        put(tmp_path, f'{name}/{k}.png', picture(k))
    assert set(load(tmp_path).class_names) == set(names)


def test_a_link_to_nothing(root):
    (root / 'metastasis').symlink_to(root / 'nowhere')
    refused(root, '"metastasis" is a link to a folder that does not exist')


@pytest.mark.skipif(os.geteuid(), reason='only root can become somebody who may not read')
def test_folders_and_images_that_may_not_be_read(root):
    for folder_ in itertools.takewhile(lambda p: p != Path(tempfile.gettempdir()), [root, *root.parents]):
        folder_.chmod(0o755)
    load(root)
    for what, says in (
        ('simple cyst', '"simple cyst" may not be read'),
        ('.', 'The folder of "labels.csv" may not be read'),
        ('simple cyst/a 0.png', '"simple cyst/a 0.png" may not be read'),
    ):
        mode = (root / what).stat().st_mode
        (root / what).chmod(0)
        os.seteuid(65534)
        try:
            refused(root, says)
        finally:
            os.seteuid(0)
            (root / what).chmod(mode)


# ---- the table


def test_absolute_paths_within_the_folder(root):
    lines = [f'{root}/simple cyst/a 0.png,1,x', f'{root}/hémangiome/b 0.png,2,y']
    table(root, 'file,patient,label\n' + '\n'.join(lines))
    assert load(root).ids.tolist() == ['simple cyst/a 0.png', 'hémangiome/b 0.png']


def test_patients_named_as_if_unknown_stay_themselves_and_are_questioned(root):
    names = ['NA', 'N/A', 'n/a', 'None']
    files = ['simple cyst/a 0.png', 'simple cyst/a 1.png', 'hémangiome/b 0.png', 'hémangiome/b 1.png']
    table(root, 'file,patient,label\n' + ''.join(f'{f},{n},{f[0]}\n' for f, n in zip(files, names)))
    cohort, notes = folder.load(root)
    assert cohort.patients.tolist() == names
    assert {c: r for c, *r in notes}['images of patients named as if unknown'][:3] == [4, 4, 'look']


def test_table_gives_patients_and_reaches_anywhere(root):
    put(root, 'deep/er/c.png', picture(20))
    lines = [
        'label; File ;patient;note',
        'zyste;simple cyst\\a 0.png;P 1;x',
        'zyste;deep/er/c.png;007;',
        'blut;hémangiome/b 2.png;P 1;',
    ]
    table(root, '\r\n'.join(lines), encoding='utf-8-sig')
    cohort = load(root)
    assert cohort.class_names == ('blut', 'zyste') and cohort.labels.tolist() == [1, 1, 0]
    assert cohort.patients.tolist() == ['P 1', '007', 'P 1']
    assert cohort.ids.tolist() == ['simple cyst/a 0.png', 'deep/er/c.png', 'hémangiome/b 2.png']
    assert 'unknown' not in cohort.source and '2 patients' in cohort.source


@pytest.mark.parametrize('place', ['absolute', 'relative to data_dir'])
def test_table_of_another_name(root, place):
    table(root, 'file,patient,label\nsimple cyst/a 0.png,1,x\n"hémangiome/b 0.png",2,y\n', name='my list.csv')
    cohort = load(root, csv=str(root / 'my list.csv') if place == 'absolute' else 'my list.csv')
    assert cohort.class_names == ('x', 'y') and cohort.patients.tolist() == ['1', '2']


def test_table_without_patients_falls_back_to_clusters(root):
    table(root, 'file,patient,label\nsimple cyst/a 0.png,,x\nsimple cyst/a 1.png,,y\n')
    assert load(root).patients.tolist() == ['cluster-0001', 'cluster-0002']


@pytest.mark.parametrize(
    'text, says',
    [
        ('file,label\nsimple cyst/a 0.png,x\n', '"labels.csv" has no column "patient"'),
        ('file,patient\nsimple cyst/a 0.png,x\n', 'no column "label"'),
        ('file,patient,label\n', 'lists no images'),
        ('', 'not a readable table'),
        (
            'file,patient,label\nsimple cyst/a 0.png,1,x\nsimple cyst/none.png,1,y\n',
            '"simple cyst/none.png", which is not a file',
        ),
        ('file,patient,label\nsimple cyst,1,x\n', '"simple cyst", which is not a file'),
        ('file,patient,label\n,1,x\n', 'names "", which is not a file'),
        ('file,patient,label\nsimple cyst/../../secret.png,1,x\n', 'leaves the data folder'),
        ('file,patient,label\n..\\secret.png,1,x\n', 'leaves the data folder'),
        (
            'file,patient,label\nsimple cyst/a 0.png,P0,x\nsimple cyst/a 1.png,p00,y\n',
            '"P0" and "p00", which',
        ),
        (
            'file,patient,label\nsimple cyst/a 0.png,1,Cyst\nsimple cyst/a 1.png,2,cyst\n',
            'classes "Cyst" and',
        ),
        ('file,patient,label\n/etc/passwd,1,x\n', '"/etc/passwd", which leaves the data folder'),
        ('file,patient,label\nC:\\secret.png,1,x\n', 'leaves the data folder'),
        (
            'file,patient,label\nsimple cyst/a 0.png,1, \n',
            '"simple cyst/a 0.png" in "labels.csv" has an empty label',
        ),
        ('file,patient,label\nsimple cyst/a 0.png,1\n', 'has an empty label'),
        (
            'file,patient,label\nsimple cyst/a 0.png,1,x\nsimple cyst/a 1.png,,y\n',
            '"simple cyst/a 1.png" in "labels.csv" has no patient',
        ),
        ('file,patient,label\nsimple cyst/a 0.png,1,x\n./simple cyst/a 0.png,1,y\n', 'is listed twice'),
        ('file,patient,label\nsimple cyst/a 0.png,1,x\nsimple cyst/a 1.png,2,x\n', r'one class only \("x"\)'),
        (
            'file,patient,label\nlabels.csv,1,x\nsimple cyst/a 1.png,2,y\n',
            '"labels.csv" cannot be read as PNG',
        ),
    ],
)
def test_tables_that_are_refused(root, text, says):
    table(root, text)
    refused(root, says)


def test_table_in_another_encoding(root):
    table(root, 'file,patient,label\nhémangiome/b 0.png,1,x\n', encoding='latin-1')
    refused(root, 'in UTF-8')


def test_table_that_was_asked_for_and_is_not_there(root):
    refused(root, 'The table "lables.csv" does not exist', csv='lables.csv')


# ---- folders and images that are refused


@pytest.mark.parametrize('data_dir', ['', 'no such folder', __file__])
def test_no_folder(data_dir):
    refused(data_dir, 'is not a folder: set data_dir')


def test_empty_folder(tmp_path):
    refused(tmp_path, 'has no class folders')


def test_empty_class(root):
    (root / 'metastasis').mkdir()
    refused(root, r'Class folder "metastasis" holds no PNG, JPEG, TIFF, BMP or WebP image \(found: nothing\)')


def test_class_of_unknown_endings(root):
    (root / 'metastasis').mkdir()
    (root / 'metastasis/a.dcm').write_text('no picture')
    refused(root, r'"metastasis" holds no PNG, JPEG, TIFF, BMP or WebP image \(found: \.dcm\)')


def test_folders_within_class_folders(root):
    put(root, 'simple cyst/patient 1/a.png', picture(0))
    refused(root, '"simple cyst" has a sub-folder "patient 1"')


def test_one_class(tmp_path):
    put(tmp_path, 'cyst/a.png', picture(0))
    refused(tmp_path, r'one class only \("cyst"\)')


@pytest.mark.parametrize('ending', ['png', 'jpg', 'tif'])
def test_truncated_image(root, ending):
    path = put(root, f'simple cyst/broken.{ending}', picture(0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(root, f'"simple cyst/broken.{ending}" cannot be read')


@pytest.mark.parametrize('content', [b'', b'this is a text'])
def test_no_image_at_all(root, content):
    (root / 'simple cyst/fake.png').write_bytes(content)
    refused(root, '"simple cyst/fake.png" cannot be read')


def test_small_image(root):
    put(root, 'simple cyst/small.png', picture(0)[:31, :40])
    refused(root, '"simple cyst/small.png" is 40 x 31 pixels: images need at least 32')
    put(root, 'simple cyst/small.png', picture(0)[:32, :32])
    assert len(load(root)) == 7


def test_every_fault_is_named_at_once_or_left_out(root, capsys):
    put(root, 'simple cyst/small.png', picture(0)[:31, :40])
    (root / 'hémangiome/broken.jpg').write_bytes(b'this is a text')
    (root / 'hémangiome/lost.png').symlink_to(root / 'nowhere.png')
    os.mkfifo(root / 'hémangiome/pipe.png')
    refused(root, r'hémangiome/broken.jpg.*\(the first of 4 faults, all in the log\).*set skip_faulty=True')
    said = capsys.readouterr()
    assert (said.out + said.err).count('fault: "') == 4
    cohort, notes = folder.load(root, skip_faulty=True)
    assert len(cohort) == 6 and not any('small' in i or 'broken' in i for i in cohort.ids)
    rows = {check: row for check, *row in notes}
    assert rows['faulty images'][:3] == [4, 10, 'left out'] and 'pipe.png' in rows['faulty images'][3]


def test_a_class_of_faults_is_not_left_out(root):
    for k in range(3):
        put(root, f'tiny/{k}.png', picture(k)[:16, :16])
    refused(root, 'No image of class "tiny" can be read', skip_faulty=True)


def test_huge_images(root, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    refused(root, 'has more pixels than can be read safely: reduce it')


@pytest.mark.parametrize('ending', ['tif', 'png', 'webp'])
def test_stack_of_pages(root, ending):
    pages = [Image.fromarray(picture(k)) for k in range(3)]
    pages[0].save(root / f'simple cyst/stack.{ending}', save_all=True, append_images=pages[1:])
    refused(root, f'"simple cyst/stack.{ending}" holds 3 pages')


def test_a_photograph_of_a_phone_is_one_picture(root):
    pages = [Image.fromarray(picture(k)).convert('RGB') for k in range(2)]
    path = root / 'simple cyst/phone.jpg'
    pages[0].save(path, format='MPO', save_all=True, append_images=pages[1:], quality=98)
    cohort = load(root)
    assert (
        np.abs(cohort.images[-1].astype(int) - picture(0)).max() <= 4
        and cohort.extra.format.iloc[-1] == 'MPO'
    )


def test_pixels_that_are_not_numbers(root):
    pixels = picture(0).astype(np.float32)
    pixels[3, 3] = np.nan
    put(root, 'simple cyst/nan.tif', pixels)
    refused(root, '"simple cyst/nan.tif" has pixels that are not numbers')


# ---- a real set


@pytest.mark.skipif(not IQ.is_dir(), reason='the CT set is not here')
def test_ct_slices():
    cohort = load(IQ, image_size=64)
    assert cohort.counts.to_dict() == {'Bengin cases': 120, 'Malignant cases': 561, 'Normal cases': 416}
    assert set(cohort.extra.width) == {256} == set(cohort.extra.height)
    splits = make_splits(cohort)
    assert np.abs(select(cohort, splits, role='test').counts - [24, 112, 83]).max() <= 3
    assert (splits.groupby('patient').fold0.nunique() == 1).all()
