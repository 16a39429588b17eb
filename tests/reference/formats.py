"""Makes small pictures by other programs in `formats/`, what others read in them, and the table in `docs/formats.md`.

The files are drawn here, and written by Pillow, tifffile, imagecodecs, ImageMagick and exiftool;
`crates/pdn-image/tests/formats.rs` reads them. `expected.json` has, for each, what ImageMagick sees (of AVIF, libavif): RGBA of
16 bits, turned as it is shown. With the path of a
`pdn`, each file is also resized by it into each format, and what exiftool and ImageMagick find there is the table.

    apt-get install imagemagick libimage-exiftool-perl
    venv/bin/pip install -r requirements-formats.txt && venv/bin/python formats.py [../../target/release/pdn]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import imagecodecs
import numpy
import pillow_jxl  # noqa: F401, with which Pillow reads JPEG XL
import tifffile
from PIL import Image, ImageCms

HERE = Path(__file__).parent / "formats"
TABLE = Path(__file__).parents[2] / "docs" / "formats.md"
WIDTH, HEIGHT = 8, 6
SRGB = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
# Its date, so that the files do not change from day to day.
SRGB[24:36] = bytes.fromhex("07d000010001000000000000")
SRGB = bytes(SRGB)


def drawn(channels: int) -> numpy.ndarray:
    """A smooth picture of 16 bits, the low ones of which matter; alpha, the last of 2 or 4 channels, has 0 and the largest."""
    y, x = numpy.mgrid[:HEIGHT, :WIDTH]
    planes = [5000 + 6000 * x + 311 * y, 60000 - 7001 * y - 97 * x, 9000 + 3001 * (x + y)]
    alpha = numpy.clip((x - 1) * 13107, 0, 65535)
    planes = {1: planes[:1], 2: [planes[0], alpha], 3: planes, 4: [*planes, alpha]}[channels]
    return numpy.stack(planes, axis=-1).astype(numpy.uint16)


def eight(picture: numpy.ndarray) -> numpy.ndarray:
    return ((picture.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8)


def run(*command: object) -> bytes:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, cwd=HERE).stdout


def pillow(name: str, picture: Image.Image, **options: object) -> None:
    picture.save(HERE / name, **options)


def magick(name: str, source: str, *options: str) -> None:
    run("convert", source, *options, "-define", "png:exclude-chunks=date,time", name)


def make() -> None:
    HERE.mkdir(exist_ok=True)
    for old in HERE.iterdir():
        old.unlink()
    grey, grey_alpha, colour, colour_alpha = (drawn(channels) for channels in (1, 2, 3, 4))
    rgb = Image.fromarray(eight(colour))
    pillow("grey.png", Image.fromarray(eight(grey)[..., 0]))
    pillow("grey-alpha.png", Image.fromarray(eight(grey_alpha)))
    pillow("colour-icc.png", rgb, icc_profile=SRGB)
    pillow("colour-alpha.png", Image.fromarray(eight(colour_alpha)))
    palette = rgb.quantize(8)
    pillow("palette.png", palette, transparency=bytes([0, 128, 255, 255, 255, 255, 255, 255]))
    pillow("one-bit.png", Image.fromarray(eight(grey)[..., 0] > 128))
    pillow("grey-16.png", Image.fromarray(grey[..., 0]))
    pillow("grey.jpg", Image.fromarray(eight(grey)[..., 0]), quality=95)
    pillow("colour.jpg", rgb, quality=95, subsampling=0, icc_profile=SRGB)
    pillow("cmyk.jpg", rgb.convert("CMYK"), quality=95, subsampling=0)
    pillow("colour.webp", rgb, lossless=True, icc_profile=SRGB)
    pillow("colour-alpha.webp", Image.fromarray(eight(colour_alpha)), lossless=True, exact=True)
    pillow("colour.bmp", rgb)
    pillow("colour.avif", rgb, quality=100, subsampling="4:4:4", icc_profile=SRGB)
    pillow("colour-alpha.avif", Image.fromarray(eight(colour_alpha)), quality=100, subsampling="4:4:4")
    pillow("colour-half.avif", rgb, quality=100, subsampling="4:2:0", range="limited")
    pillow("grey.avif", Image.fromarray(eight(grey)[..., 0]), quality=100)
    (HERE / "colour-16.avif").write_bytes(imagecodecs.avif_encode(colour >> 6, bitspersample=10, level=imagecodecs.AVIF.QUALITY.LOSSLESS))
    pillow("one-bit.tif", Image.fromarray(eight(grey)[..., 0] > 128), compression="group4")
    plain = {"metadata": None, "software": None}
    tifffile.imwrite(HERE / "colour-16.tif", colour, photometric="rgb", compression="lzw", iccprofile=SRGB, **plain)
    tifffile.imwrite(HERE / "grey-16.tif", grey[..., 0], photometric="minisblack", byteorder=">", **plain)
    tifffile.imwrite(HERE / "white-is-zero.tif", 255 - eight(grey)[..., 0], photometric="miniswhite", **plain)
    tifffile.imwrite(HERE / "grey-alpha-16.tif", grey_alpha, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig", **plain)
    tifffile.imwrite(HERE / "colour-alpha-16.tif", colour_alpha, photometric="rgb", extrasamples=["unassalpha"], compression="zlib", predictor=True, **plain)
    alpha = colour_alpha[..., 3:] / 65535
    multiplied = numpy.round(colour_alpha[..., :3] * alpha).astype(numpy.uint16)
    associated = numpy.concatenate([multiplied, colour_alpha[..., 3:]], axis=-1)
    tifffile.imwrite(HERE / "premultiplied-16.tif", associated, photometric="rgb", extrasamples=["assocalpha"], **plain)
    tifffile.imwrite(HERE / "planes-16.tif", colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **plain)
    tifffile.imwrite(HERE / "float.tif", (colour / 65535).astype(numpy.float32), photometric="rgb", **plain)
    (HERE / "colour-16.jxl").write_bytes(imagecodecs.jpegxl_encode(colour, lossless=True))
    # ImageMagick: 16 bits of colour and transparency, and a PNG that says its colours by gAMA and cHRM alone.
    magick("colour-16.png", "colour-16.tif", "+profile", "*", "-set", "gamma", "0.45455")
    magick("colour-alpha-16.png", "colour-alpha-16.tif")
    magick("grey-alpha-16.png", "grey-alpha-16.tif")
    magick("linear.png", "colour-16.tif", "+profile", "*", "-set", "colorspace", "RGB", "-set", "gamma", "1.0")
    magick("cmyk-icc.jpg", "colour.jpg", "-strip", "-colorspace", "CMYK", "-sampling-factor", "1x1", "-quality", "95")
    magick("cmyk.tif", "colour.webp", "-strip", "-colorspace", "CMYK", "-compress", "None")
    # exiftool: what a camera says, a thumbnail and an orientation.
    taken = ["-Make=Maker", "-Model=Camera 1", "-DateTimeOriginal=2020:01:02 03:04:05", "-Artist=A. N. Other"]
    taken += ["-GPSLatitude=47.5", "-GPSLatitudeRef=N", "-ExifImageWidth=8", "-ExifImageHeight=6", "-FNumber=2.8"]
    taken += ["-Orientation=6", "-ThumbnailImage<=grey.jpg", "-XMP-dc:Title=A title"]
    for name, source in (("camera.jpg", "colour.jpg"), ("camera.png", "colour-icc.png"), ("camera.tif", "colour-16.tif")):
        run("exiftool", "-n", *taken, "-o", name, source)
    camera = Image.open(HERE / "camera.jpg").info
    pillow("camera.webp", rgb, lossless=True, icc_profile=SRGB, exif=camera["exif"], xmp=camera["xmp"])
    # Its orientation becomes AVIF's own.
    pillow("camera.avif", rgb, quality=100, subsampling="4:4:4", icc_profile=SRGB, exif=camera["exif"], xmp=camera["xmp"])


def avif_shown(name: str) -> dict:
    """What libavif sees, which turns nothing; ImageMagick's colours of AVIF are off."""
    picture = imagecodecs.avif_decode((HERE / name).read_bytes())
    largest = 255 if picture.dtype == numpy.uint8 else 1023
    picture = numpy.atleast_3d(numpy.round(picture * (65535 / largest)).astype(">u2"))
    if name == "camera.avif":
        picture = numpy.rot90(picture, -1)
    height, width, channels = picture.shape
    rgb = picture[..., :3] if channels > 2 else picture[..., :1].repeat(3, axis=-1)
    alpha = picture[..., -1:] if channels in (2, 4) else numpy.full((height, width, 1), 65535, ">u2")
    rgba = numpy.concatenate([rgb, alpha], axis=-1).astype(">u2")
    return {"width": width, "height": height, "rgba": rgba.tobytes().hex()}


def shown(name: str) -> dict:
    """What ImageMagick sees; JPEG XL it does not read, and that file is without loss."""
    if name.endswith(".avif"):
        return avif_shown(name)
    name = name.replace(".jxl", ".tif")
    # It looks for an orientation in JPEG and TIFF alone.
    turned = ["-rotate", "90"] if name in ("camera.png", "camera.webp") else ["-auto-orient"]
    raw = run("convert", name, *turned, "-colorspace", "sRGB", "-set", "colorspace", "sRGB", "-depth", "16", "-endian", "MSB", "RGBA:-")
    if name == "linear.png":
        # Its numbers are not to be made others.
        raw = run("convert", "colour-16.tif", "-depth", "16", "-endian", "MSB", "RGBA:-")
    width, height = run("convert", name, *turned, "-format", "%w %h", "info:").decode().split()
    return {"width": int(width), "height": int(height), "rgba": raw.hex()}


def depth_and_channels(path: Path) -> tuple[str, str]:
    """As ImageMagick says them; of AVIF and JPEG XL, of which it tells neither grey nor alpha, as libavif and libjxl decode."""
    if path.suffix not in (".avif", ".jxl"):
        bits, channels = run("identify", "-format", "%z %[channels]", path).decode().split()[:2]
        return bits, channels
    decode = imagecodecs.avif_decode if path.suffix == ".avif" else imagecodecs.jpegxl_decode
    picture = decode(path.read_bytes())
    deep = "10" if path.suffix == ".avif" else "16"
    channels = ["gray", "graya", "srgb", "srgba"][picture.shape[2] - 1 if picture.ndim == 3 else 0]
    return "8" if picture.dtype == numpy.uint8 else deep, channels


def has_profile(path: Path) -> bool:
    """Whether a JPEG XL has a profile, and not one that libjxl makes of what it says."""
    icc = Image.open(path).info.get("icc_profile")
    return icc is not None and icc[4:8] != b"jxl "


def found(path: Path) -> str:
    """What is in a file, in a cell of the table."""
    said = json.loads(run("exiftool", "-j", "-G1", path))[0]
    bits, channels = depth_and_channels(path)
    parts = [f"{bits} bit" + ("s" if bits != "1" else "")]
    components = said.get("File:ColorComponents")
    # exiftool finds no profile in JPEG XL's stream of bits; Pillow's plugin does.
    icc = any(key.startswith("ICC") for key in said) or path.suffix == ".jxl" and has_profile(path)
    is_grey = "gray" in channels if components is None else components == 1
    parts += ["grey" if is_grey else "CMYK" if "cmyk" in channels else "colour"]
    parts += ["alpha"] if channels in ("srgba", "rgba", "graya", "cmyka") else []
    parts += ["ICC"] if icc else []
    if "IFD0:Make" in said:
        whole = {"ExifIFD:DateTimeOriginal", "GPS:GPSLatitude", "IFD0:Artist", "ExifIFD:FNumber"} <= said.keys()
        parts += ["EXIF" if whole else "part of EXIF"]
    parts += ["turned"] if said.get("IFD0:Orientation", "Horizontal (normal)") != "Horizontal (normal)" else []
    parts += ["thumbnail"] if "IFD1:ThumbnailOffset" in said else []
    parts += ["XMP"] if any(key.startswith("XMP-dc") for key in said) else []
    return ", ".join(parts)


def check_equal(png: Path, jxl: Path) -> None:
    """Both are without loss: libpng and libjxl must find the same samples."""
    expected, decoded = imagecodecs.png_decode(png.read_bytes()), imagecodecs.jpegxl_decode(jxl.read_bytes())
    if expected.ndim == 3 and expected.shape[2] == 2 and decoded.shape[2] == 4:
        expected = expected[..., [0, 0, 0, 1]]
    assert numpy.array_equal(expected, decoded), jxl


def table(pdn: Path, names: list[str]) -> str:
    endings = ("png", "tif", "jpg", "webp", "avif", "jxl")
    rows = ["| in | holds | " + " | ".join(f".{ending}" for ending in endings) + " |", "|---" * (len(endings) + 2) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in (name for name in names if not name.endswith(".jxl")):
            cells = [found(HERE / name)]
            for ending in endings:
                out = Path(folder) / f"out.{ending}"
                command = [pdn, "upscale", HERE / name, "-o", out, "--model", "bicubic", "--scale", "2"]
                said = subprocess.run(command, capture_output=True, text=True)
                cells.append(found(out) if said.returncode == 0 else "refused: " + said.stderr.strip().rsplit(": ", 1)[-1])
            check_equal(Path(folder) / "out.png", Path(folder) / "out.jxl")
            for out in Path(folder).iterdir():
                out.unlink()
            rows.append(" | ".join([f"| `{name}`", *cells]) + " |")
    return "\n".join(rows)


def main() -> None:
    make()
    names = sorted(path.name for path in HERE.iterdir())
    lines = ",\n".join(f'"{name}": {json.dumps(shown(name))}' for name in names)
    (HERE / "expected.json").write_text("{\n" + lines + "\n}\n")
    if len(sys.argv) > 1:
        begin, end = "<!-- table: tests/reference/formats.py -->\n\n", "\n\n<!-- end of table -->"
        before, rest = TABLE.read_text().split(begin)
        after = rest.split(end)[1]
        TABLE.write_text(before + begin + table(Path(sys.argv[1]).resolve(), names) + end + after)


if __name__ == "__main__":
    main()
