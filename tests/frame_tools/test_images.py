"""Every kind of image becomes upright 8-bit RGB, or an error that names the file."""

import io
import struct
import zlib
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frame_tools.errors import FrameToolsError
from frame_tools.images import (
    ManifestEntry,
    encode_image,
    list_images,
    manifest_text,
    read_image,
    read_manifest,
    shrink,
)


def scene(width: int = 40, height: int = 24) -> np.ndarray:
    """Smooth, so that JPEG keeps it, and different in each corner."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=2).astype(np.uint8)


def close(pixels: np.ndarray, expected: np.ndarray, tolerance: float = 3) -> bool:
    return pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected).mean() < tolerance


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_plain_images_are_kept(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(scene()).save(path)
    image = read_image(path)
    assert close(image.pixels, scene()) and image.pixels.dtype == np.uint8
    assert not image.needs_conversion


def test_grey_is_kept(tmp_path):
    Image.fromarray(scene()).convert("L").save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.pixels.shape == (24, 40, 3) and not image.needs_conversion


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_opencv_applies_it(tmp_path, orientation):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene(48, 32)).save(path, quality=95, exif=exif)
    image = read_image(path)
    assert close(image.pixels, cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), 2)
    assert image.pixels.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))
    assert image.needs_conversion == (orientation != 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix, channels):
    deep = np.linspace(0, 65535, 40 * 24 * channels).astype(np.uint16).reshape(24, 40, channels).squeeze()
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), deep[..., ::-1] if channels == 3 else deep)
    image = read_image(path)
    expected = deep / 257 if channels == 3 else np.repeat(deep[..., None] / 257, 3, axis=2)
    assert np.abs(image.pixels - expected).max() <= 1
    assert image.needs_conversion


def test_palette_and_one_bit_are_converted(tmp_path):
    Image.fromarray(scene()).quantize(64).save(tmp_path / "p.png")
    image = read_image(tmp_path / "p.png")
    assert close(image.pixels, scene(), 12) and image.needs_conversion
    Image.fromarray(scene()).convert("1").save(tmp_path / "one.png")
    image = read_image(tmp_path / "one.png")
    assert set(np.unique(image.pixels)) == {0, 255} and image.needs_conversion


def test_cmyk_is_not_inverted(tmp_path):
    Image.fromarray(scene()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert close(image.pixels, scene(), 6) and image.needs_conversion


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.dstack([scene(), np.full((24, 40), 255, np.uint8)])
    rgba[:12, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image.pixels[:12] == 255).all() and np.array_equal(image.pixels[12:], scene()[12:])
    assert image.needs_conversion


def _jpeg(size: tuple[int, int] = (256, 256)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.0, 0.999))
def test_no_cut_of_a_jpeg_gives_a_picture(share):
    whole = _jpeg()
    with pytest.raises(FrameToolsError, match=r"a\.jpg"):
        read_image("a.jpg", whole[: int(len(whole) * share)])


def test_a_jpeg_whose_end_was_never_written_gives_no_grey():
    whole = _jpeg()
    half = len(whole) // 2
    with pytest.raises(FrameToolsError, match="cut off"):
        read_image("a.jpg", whole[:half] + bytes(len(whole) - half))


def test_a_cut_png_is_an_error():
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(stream, "PNG")
    with pytest.raises(FrameToolsError, match="damaged or cut off"):
        read_image("a.png", stream.getvalue()[:3000])


@pytest.mark.parametrize(("content", "words"), [(b"", "0 bytes"), (b"just a text\n", "not an image")])
def test_what_is_no_image_says_so(tmp_path, content, words):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(FrameToolsError, match=words) as error:
        read_image(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("width", "height"), [(20_000, 16), (16_000, 16_000), (60_000, 60_000)])
def test_a_picture_too_large_is_refused_by_its_header(width, height):
    """Only a header and a few bytes: decoding would take gigabytes, or fail otherwise."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    with pytest.raises(FrameToolsError, match=r"16,384 px|exceeds limit"):
        read_image("large.png", content)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff"])
def test_lossless_formats_round_trip(suffix):
    assert np.array_equal(read_image(f"a{suffix}", encode_image(scene(), suffix)).pixels, scene())


def test_jpeg_is_encoded_alike_every_time_with_full_colour():
    content = encode_image(scene(), ".jpg", 90)
    assert content == encode_image(scene(), ".jpg", 90)
    image = Image.open(io.BytesIO(content))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3 and "exif" not in image.info
    with pytest.raises(FrameToolsError, match=r"\.gif"):
        encode_image(scene(), ".gif")


def test_shrink_only_shrinks():
    assert shrink(scene(), 20).shape == (12, 20, 3)
    assert shrink(scene(), 40) is not None and shrink(scene(), 100).shape == (24, 40, 3)


def test_images_are_listed_in_the_order_of_their_numbers(tmp_path):
    for name in ("im10.jpg", "im2.JPG", "im1.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["im1.png", "im2.JPG", "im10.jpg"]


def entry(name: str, pts: int = 5) -> ManifestEntry:
    return ManifestEntry(name, "v.mp4", "ab" * 32, pts, Fraction(1, 15360), 7, "diverse: größer", {"sharpness": 0.5})


def test_a_manifest_reads_back_as_it_was_written(tmp_path):
    entries = [entry("a.jpg"), entry("b.jpg", -3)]
    (tmp_path / "manifest.jsonl").write_text(manifest_text(entries), "utf-8")
    assert read_manifest(tmp_path) == entries


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "'file' is None"),
        (entry("a.jpg").to_json_line().replace('"pts": 5', '"pts": "5"'), "'pts' is '5'"),
        (entry("a.jpg").to_json_line().replace("1/15360", "1/0"), "fraction"),
        (entry("../a.jpg").to_json_line(), "without folders"),
    ],
)
def test_a_bad_manifest_names_file_and_line(tmp_path, line, words):
    (tmp_path / "manifest.jsonl").write_text(entry("ok.jpg").to_json_line() + "\n" + line + "\n", "utf-8")
    with pytest.raises(FrameToolsError, match=r"manifest\.jsonl, line 2: ") as error:
        read_manifest(tmp_path)
    assert words in str(error.value)


def test_a_manifest_names_each_file_once(tmp_path):
    (tmp_path / "manifest.jsonl").write_text(manifest_text([entry("a.jpg"), entry("a.jpg")]), "utf-8")
    with pytest.raises(FrameToolsError, match="two lines"):
        read_manifest(tmp_path)
