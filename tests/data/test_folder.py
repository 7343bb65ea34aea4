"""Any reasonable folder of images becomes a cohort; any other names its fault."""

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image
from scipy.ndimage import gaussian_filter

from genmix import StudyError
from genmix.data.readers import folder
from genmix.data.splits import make_splits, select

IQ = SHARED / 'iq_othnccd'


def picture(seed, size=64):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 3)
    return (128 + 30 * np.clip(field / field.std(), -3, 3)).astype(np.uint8)


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
    with pytest.raises(StudyError, match=says):
        folder.load(root, **options)


# ---- what is read


def test_folders_are_classes_and_pixels_are_kept(root):
    (root / '.git').mkdir()
    (root / '__MACOSX').mkdir()
    (root / 'readme.txt').write_text('not an image')
    (root / 'simple cyst' / '._a 0.png').write_text('not an image')
    (root / 'simple cyst' / 'Thumbs.db').write_text('not an image')
    cohort = folder.load(str(root))
    assert cohort.class_names == ('hémangiome', 'simple cyst')
    assert cohort.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert cohort.ids[3] == 'simple cyst/a 0.png' == cohort.extra.file[3]
    assert cohort.extra.columns.tolist() == ['file', 'width', 'height']
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
    images = folder.load(tmp_path).images.astype(int)
    assert np.abs(images - gray).max(axis=(1, 2)).tolist()[:4] == [0, 0, 0, 0]
    assert np.abs(images - gray).max() <= 4


@pytest.mark.parametrize(
    'kind, ending', [(np.uint16, 'png'), (np.uint16, 'tif'), (np.int32, 'tif'), (np.float32, 'tiff')]
)
def test_deep_images_share_one_scale(tmp_path, kind, ending):
    base = picture(0).astype(int)  # 12 bits in 16: dark half and bright whole
    for k, gain in enumerate((4, 8, 12, 16)):
        put(tmp_path, f'{"ab"[k // 2]}/{k}.{ending}', (base * gain).astype(kind))
    images = folder.load(tmp_path).images.astype(int)
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
    images = folder.load(tmp_path).images
    assert np.unique(images).tolist() == [0, 128, 255] and np.median(images) == 0


def test_images_that_are_not_square_keep_their_proportions(tmp_path):
    y, x = np.mgrid[:64, :128]
    disc = np.where(np.hypot(x - 64, y - 32) < 20, 40, 150).astype(np.uint8)
    put(tmp_path, 'a/wide.png', disc)
    put(tmp_path, 'b/high.png', disc.T)
    cohort = folder.load(tmp_path, image_size=64)
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
    images = folder.load(tmp_path).images
    np.testing.assert_array_equal(images[0], images[1])


def test_reduction_is_antialiased(tmp_path):
    checks = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    put(tmp_path, 'a/x.png', checks)
    put(tmp_path, 'b/x.png', 255 - checks)
    assert np.abs(folder.load(tmp_path, image_size=48).images[:, 2:-2, 2:-2].astype(int) - 127.5).max() < 3


def test_unknown_patients_come_from_near_duplicates(root):
    put(root, 'simple cyst/copy.jpg', picture(1), quality=60)
    put(root, 'simple cyst/shift.png', np.roll(picture(1), 1, axis=1))
    put(root, 'simple cyst/bright.png', picture(1) + np.uint8(3))
    cohort = folder.load(root)
    who = dict(zip(cohort.ids, cohort.patients))
    assert len({who[f'simple cyst/{f}'] for f in ('a 1.png', 'copy.jpg', 'shift.png', 'bright.png')}) == 1
    assert len(set(who.values())) == 6 and set(who.values()) == {f'cluster-{k:04d}' for k in range(1, 7)}
    assert 'patients unknown: 6 near-duplicate clusters kept together' in cohort.source
    assert (make_splits(cohort).groupby('patient').fold0.nunique() == 1).all()


# ---- the table


def test_table_gives_patients_and_reaches_anywhere(root):
    put(root, 'deep/er/c.png', picture(20))
    lines = [
        'label; File ;patient;note',
        'zyste;simple cyst\\a 0.png;P 1;x',
        'zyste;deep/er/c.png;007;',
        'blut;hémangiome/b 2.png;P 1;',
    ]
    table(root, '\r\n'.join(lines), encoding='utf-8-sig')
    cohort = folder.load(root)
    assert cohort.class_names == ('blut', 'zyste') and cohort.labels.tolist() == [1, 1, 0]
    assert cohort.patients.tolist() == ['P 1', '007', 'P 1']
    assert cohort.ids.tolist() == ['simple cyst/a 0.png', 'deep/er/c.png', 'hémangiome/b 2.png']
    assert 'unknown' not in cohort.source and '2 patients' in cohort.source


@pytest.mark.parametrize('place', ['absolute', 'relative to data_dir'])
def test_table_of_another_name(root, place):
    table(root, 'file,patient,label\nsimple cyst/a 0.png,1,x\n"hémangiome/b 0.png",2,y\n', name='my list.csv')
    cohort = folder.load(root, csv=str(root / 'my list.csv') if place == 'absolute' else 'my list.csv')
    assert cohort.class_names == ('x', 'y') and cohort.patients.tolist() == ['1', '2']


def test_table_without_patients_falls_back_to_clusters(root):
    table(root, 'file,patient,label\nsimple cyst/a 0.png,,x\nsimple cyst/a 1.png,,y\n')
    assert folder.load(root).patients.tolist() == ['cluster-0001', 'cluster-0002']


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
    refused(root, r'Class folder "metastasis" holds no PNG, JPEG or TIFF image \(found: nothing\)')


def test_class_of_unknown_endings(root):
    put(root, 'metastasis/a.bmp', picture(0))
    refused(root, r'"metastasis" holds no PNG, JPEG or TIFF image \(found: \.bmp\)')


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
    assert len(folder.load(root)) == 7


def test_stack_of_pages(root):
    pages = [Image.fromarray(picture(k)) for k in range(3)]
    pages[0].save(root / 'simple cyst/stack.tif', save_all=True, append_images=pages[1:])
    refused(root, '"simple cyst/stack.tif" holds 3 pages')


def test_pixels_that_are_not_numbers(root):
    pixels = picture(0).astype(np.float32)
    pixels[3, 3] = np.nan
    put(root, 'simple cyst/nan.tif', pixels)
    refused(root, '"simple cyst/nan.tif" has pixels that are not numbers')


# ---- a real set


@pytest.mark.skipif(not IQ.is_dir(), reason='the CT set is not here')
def test_ct_slices():
    cohort = folder.load(IQ, image_size=64)
    assert cohort.counts.to_dict() == {'Bengin cases': 120, 'Malignant cases': 561, 'Normal cases': 416}
    assert set(cohort.extra.width) == {256} == set(cohort.extra.height)
    splits = make_splits(cohort)
    assert np.abs(select(cohort, splits, role='test').counts - [24, 112, 83]).max() <= 3
    assert (splits.groupby('patient').fold0.nunique() == 1).all()
