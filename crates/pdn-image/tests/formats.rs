//! Reads pictures from other programs and compares them with ImageMagick's results, which `tests/reference/formats.py`
//! stores.

use pdn_image::{
    AnyPicture, Depth, Format, Limits, Picture, Sample, WriteOptions, read_any, read_any_bytes, write_any,
};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    pdn_testing::root().join("tests/reference/formats")
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "expected.json");
    names.retain(|name| cfg!(feature = "jxl-read") || !name.ends_with(".jxl"));
    names.retain(|name| cfg!(feature = "avif") || !name.ends_with(".avif"));
    names.sort();
    names
}

/// Returns the extensions of the formats that can be written.
fn endings() -> Vec<&'static str> {
    let mut endings = vec!["png", "tif", "jpg", "webp"];
    endings.extend(cfg!(feature = "avif").then_some("avif"));
    endings.extend(cfg!(feature = "jxl").then_some("jxl"));
    endings
}

fn open(path: &Path) -> AnyPicture {
    read_any(path, &Limits::default()).unwrap()
}

/// Returns the pixels as 16-bit RGBA.
fn rgba<S: Sample>(picture: &Picture<S>) -> Vec<u16> {
    let opaque = vec![S::MAX; picture.width() * picture.height()];
    let alpha = picture.alpha().unwrap_or(&opaque);
    let pixels = picture.rgb().chunks_exact(3).zip(alpha);
    pixels.flat_map(|(rgb, a)| [rgb[0], rgb[1], rgb[2], *a].map(u16::of)).collect()
}

fn numbers(picture: &AnyPicture) -> Vec<u16> {
    match picture {
        AnyPicture::Eight(picture) => rgba(picture),
        AnyPicture::Sixteen(picture) => rgba(picture),
    }
}

#[test]
fn pixels_are_those_that_imagemagick_reads() {
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap();
    assert!(names().len() >= 30);
    for name in names() {
        let (picture, expected) = (open(&folder().join(&name)), &expected[&name]);
        let number = |key: &str| expected[key].as_u64().unwrap() as usize;
        assert_eq!((picture.width(), picture.height()), (number("width"), number("height")), "{name}");
        let hex = expected["rgba"].as_str().unwrap().as_bytes().chunks_exact(4);
        let hex = hex.map(|digits| u16::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        // JPEG decoders round differently, and CMYK is multiplied. Colours under zero alpha do not matter.
        let tolerance = match name.rsplit('.').next().unwrap() {
            "jpg" | "avif" => 3 * 257,
            _ if name.starts_with("cmyk") => 257,
            // Samples that were multiplied by a small alpha and rounded.
            _ if name.starts_with("premultiplied") => 3,
            _ => 0,
        };
        let found = numbers(&picture);
        let expected: Vec<u16> = hex.collect();
        for (i, (found, expected)) in found.chunks_exact(4).zip(expected.chunks_exact(4)).enumerate() {
            let near = |c: usize| found[c].abs_diff(expected[c]) <= tolerance;
            assert!(near(3) && (expected[3] == 0 || (0..3).all(near)), "{name}, pixel {i}: {found:?} for {expected:?}");
        }
        assert_eq!(picture.header().depth == Depth::Sixteen, name.contains("16") || deep(&name), "{name}");
        assert_eq!(
            picture.header().grey,
            name.contains("grey") || name.contains("one-bit") || name.contains("white"),
            "{name}"
        );
        assert_eq!(
            picture.header().alpha,
            name.contains("alpha") || name.contains("multiplied") || name == "palette.png"
        );
        let inks = picture.lost().iter().any(|note| note.contains("CMYK"));
        assert_eq!(inks, name.starts_with("cmyk"), "{name}: {:?}", picture.lost());
    }
}

/// Returns whether a file has more than 8 bits per sample, although its name does not say so.
fn deep(name: &str) -> bool {
    ["float.tif", "linear.png", "camera.tif"].contains(&name)
}

#[test]
fn exif_stays_and_says_what_is_true() {
    let target = tempfile::tempdir().unwrap();
    for name in ["camera.jpg", "camera.png", "camera.webp", "camera.tif", "camera.avif"] {
        if name.ends_with(".avif") && cfg!(not(feature = "avif")) {
            continue;
        }
        let picture = open(&folder().join(name));
        assert_eq!((picture.width(), picture.height()), (6, 8), "{name} is turned");
        assert!(picture.lost().contains(&"its XMP is left out"), "{name}: {:?}", picture.lost());
        let small = picture.header().exif.expect(name);
        for ending in endings() {
            let path = target.path().join(format!("out.{ending}"));
            let mut large = Picture::from_rgb(70, 33, vec![9; 70 * 33 * 3]);
            large.exif = Some(small.clone());
            write_any(&path, &large.into(), &WriteOptions::default()).unwrap();
            let again = open(&path).header().exif.expect(ending);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            for word in ["Maker", "Camera 1", "2020:01:02 03:04:05", "A. N. Other"] {
                assert!(text(&again).contains(word), "{name} to {ending}: {word}");
            }
            // Only a thumbnail could contain JFIF's name, and it is dropped.
            assert!(!text(&again).contains("JFIF"), "{name} to {ending}");
            let size = |tag: u16| {
                let at = again.windows(4).position(|w| {
                    w == [tag.to_le_bytes(), [3, 0]].concat() || w == [tag.to_be_bytes(), [0, 3]].concat()
                });
                let value = &again[at.unwrap() + 8..][..2];
                if again.starts_with(b"II") { value[0] } else { value[1] }
            };
            assert_eq!((size(0xa002), size(0xa003)), (70, 33), "{name} to {ending}");
        }
    }
}

#[cfg(not(feature = "jxl-read"))]
#[test]
fn jpeg_xl_names_its_feature() {
    let said = read_any(&folder().join("colour-16.jxl"), &Limits::default()).unwrap_err().to_string();
    assert!(said.contains("colour-16.jxl") && said.contains("feature `jxl-read`"), "{said}");
}

#[cfg(not(feature = "avif"))]
#[test]
fn avif_names_its_feature() {
    let said = read_any(&folder().join("camera.avif"), &Limits::default()).unwrap_err().to_string();
    assert!(said.contains("camera.avif") && said.contains("feature `avif`"), "{said}");
    let said = Format::from_path(Path::new("a.avif")).unwrap_err().to_string();
    assert!(said.contains("a.avif") && said.contains("feature `avif`"), "{said}");
}

#[test]
fn damage_is_said_and_left_out() {
    let whole = std::fs::read(folder().join("camera.jpg")).unwrap();
    let at = whole.windows(6).position(|w| w == b"Exif\0\0").unwrap() + 6;
    let mut damaged = whole.clone();
    // The first directory now begins beyond the end of the file.
    damaged[at + 4..at + 8].fill(0x7f);
    let picture = read_any_bytes(&damaged, &Limits::default()).unwrap();
    assert!(picture.header().exif.is_none() && picture.lost().contains(&"its EXIF is damaged, and left out"));
    let at = whole.windows(4).position(|w| w == b"acsp").unwrap();
    let mut damaged = whole;
    damaged[at] = b'x';
    let picture = read_any_bytes(&damaged, &Limits::default()).unwrap();
    assert!(picture.header().icc.is_none() && picture.lost().iter().any(|note| note.contains("ICC")));
}

#[test]
fn every_picture_can_be_written_in_every_format() {
    let target = tempfile::tempdir().unwrap();
    for name in names() {
        let picture = open(&folder().join(&name));
        for ending in endings() {
            let path = target.path().join(format!("out.{ending}"));
            let written = write_any(&path, &picture, &WriteOptions::default());
            if ending == "jpg" && picture.has_transparency() {
                assert!(written.unwrap_err().to_string().contains("transparency"), "{name}");
                continue;
            }
            written.unwrap();
            let again = open(&path);
            if ["png", "tif", "jxl"].contains(&ending) {
                assert_eq!(numbers(&again), numbers(&picture), "{name} to {ending}");
            }
            // JPEG XL always states its colours, so it may add a profile.
            if ["png", "tif"].contains(&ending) {
                assert_eq!(again.header().icc, picture.header().icc, "{name} to {ending}");
            }
            assert_eq!(again.header().depth, picture.header().depth.min(Format::from_path(&path).unwrap().depth()));
        }
    }
}

#[test]
fn a_png_s_own_colours_become_a_profile() {
    let icc = |name: &str| open(&folder().join(name)).header().icc;
    assert!(icc("linear.png").is_some() && icc("colour-16.png").is_none() && icc("colour-icc.png").is_some());
}
