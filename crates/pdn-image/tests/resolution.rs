//! Carries print resolution and IPTC from file to file.

use image::{DynamicImage, ImageFormat};
use pdn_image::{AnyPicture, Limits, Picture, Resolution, ResolutionUnit, WriteOptions, read_any, read_bytes, write};
use std::io::Cursor;
use std::path::Path;
use tiff::encoder::{Rational, TiffEncoder, colortype::Gray8};
use tiff::tags::{self, Tag};

const LETTER: Resolution = Resolution { x: 300_000, y: 300_000, unit: ResolutionUnit::Inch };

fn sample(resolution: Option<Resolution>) -> Picture {
    let mut picture = Picture::from_rgb(6, 4, vec![90; 72]);
    picture.resolution = resolution;
    picture
}

fn open(path: &Path) -> AnyPicture {
    read_any(path, &Limits::default()).unwrap()
}

/// Returns the dots per inch, rounded as readers do.
fn inch(picture: &AnyPicture) -> Option<[u32; 2]> {
    let Resolution { x, y, unit } = picture.header().resolution?;
    let dots = if unit == ResolutionUnit::Inch { 0.001 } else { 0.00254 };
    Some([x, y].map(|thousandths| (f64::from(thousandths) * dots).round() as u32))
}

#[test]
fn it_is_carried_through_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let endings: &[&str] = &[
        "png",
        "jpg",
        "tif",
        "webp",
        #[cfg(feature = "avif")]
        "avif",
        #[cfg(feature = "jxl")]
        "jxl",
    ];
    for first in endings {
        let from = folder.path().join(format!("from.{first}"));
        write(&from, &sample(Some(LETTER)), &WriteOptions::default()).unwrap();
        for second in endings {
            let to = folder.path().join(format!("to.{second}"));
            write(&to, &open(&from).eight(), &WriteOptions::default()).unwrap();
            assert_eq!(inch(&open(&to)), Some([300, 300]), "{first} to {second}");
        }
    }
    for ending in endings {
        let plain = folder.path().join(format!("plain.{ending}"));
        write(&plain, &sample(None), &WriteOptions::default()).unwrap();
        assert_eq!(inch(&open(&plain)), None, "{ending}: none is made up");
    }
}

#[test]
fn a_png_keeps_dots_on_a_metre_as_they_are() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: 11_811, yppu: 2835, unit: png::Unit::Meter }));
    encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
    let found = read_bytes(&bytes, &Limits::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    write(&path, &found, &WriteOptions::default()).unwrap();
    let again = std::fs::read(&path).unwrap();
    let chunk = |bytes: &[u8]| bytes.windows(13).find(|part| part.starts_with(b"pHYs")).map(<[u8]>::to_vec);
    assert!(chunk(&again).is_some() && chunk(&again) == chunk(&bytes));
}

/// Returns a TIFF of one grey pixel, with additional tags.
fn tiff(
    say: impl FnOnce(&mut tiff::encoder::DirectoryEncoder<'_, &mut Cursor<Vec<u8>>, tiff::encoder::TiffKindStandard>),
) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut image = encoder.new_image::<Gray8>(1, 1).unwrap();
    say(image.encoder());
    image.write_data(&[7]).unwrap();
    bytes.into_inner()
}

#[test]
fn a_tiff_turned_has_it_turned() {
    let bytes = tiff(|directory| {
        directory.write_tag(Tag::XResolution, Rational { n: 1181, d: 10 }).unwrap();
        directory.write_tag(Tag::YResolution, Rational { n: 59, d: 1 }).unwrap();
        directory.write_tag(Tag::ResolutionUnit, tags::ResolutionUnit::Centimeter).unwrap();
        directory.write_tag(Tag::Orientation, 6_u16).unwrap();
    });
    let found = read_bytes(&bytes, &Limits::default()).unwrap().resolution;
    assert_eq!(found, Some(Resolution { x: 59_000, y: 118_100, unit: ResolutionUnit::Centimetre }));
}

#[test]
fn iptc_is_said_to_be_left_out() {
    let said = "its IPTC is left out";
    let mut jpeg = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(4, 4).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let mut jpeg = jpeg.into_inner();
    assert!(read_bytes(&jpeg, &Limits::default()).unwrap().lost.is_empty());
    let segment = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x06\x1c\x02\x05\0\x01A";
    let length = (segment.len() as u16 + 2).to_be_bytes();
    jpeg.splice(2..2, [&[0xff, 0xed], &length[..], segment].concat());
    assert_eq!(read_bytes(&jpeg, &Limits::default()).unwrap().lost, [said]);
    let bytes = tiff(|directory| directory.write_tag(Tag::Unknown(33_723), &[1_u8, 2, 3, 4, 5][..]).unwrap());
    assert_eq!(read_bytes(&bytes, &Limits::default()).unwrap().lost, [said]);
}

#[test]
fn a_raw_file_is_not_taken_for_its_preview() {
    let bytes = tiff(|directory| directory.write_tag(Tag::Unknown(50_706), &[1_u8, 4, 0, 0][..]).unwrap());
    assert!(read_bytes(&bytes, &Limits::default()).unwrap_err().to_string().contains("raw file"));
    // A preview that is the only picture; some scanners mark whole pictures like this.
    let bytes = tiff(|directory| directory.write_tag(Tag::NewSubfileType, 1_u32).unwrap());
    read_bytes(&bytes, &Limits::default()).unwrap();
}
