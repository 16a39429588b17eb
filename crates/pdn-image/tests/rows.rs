//! Writes pictures row by row: what is read back is identical, however the rows were grouped.

use pdn_image::{
    Fault, Header, Limits, Picture, Provenance, RowWriter, WriteOptions, read, read_any, write, write_any,
};
use std::path::Path;

/// Returns a picture that does not compress.
fn sample(width: usize, height: usize, grey: bool, alpha: bool) -> Picture {
    let value = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    let rgb = (0..width * height * 3).map(|i| value(if grey { i / 3 } else { i })).collect();
    let alpha = alpha.then(|| (0..width * height).map(|i| value(i + 7)).collect());
    let mut picture = Picture::from_rgb(width, height, rgb).with_alpha(alpha);
    picture.grey = grey;
    let space: &[u8] = if grey { b"GRAY" } else { b"RGB " };
    // A profile without tags, followed by an odd number of bytes.
    picture.icc = Some([&[0, 0, 0, 135][..], &[0; 12], space, &[0; 16], b"acsp", &[0; 92], &[5; 3]].concat());
    picture
}

/// Writes a picture, `tall` rows at a time.
fn by_rows(path: &Path, picture: &Picture, tall: usize, options: &WriteOptions) -> Result<(), pdn_image::Error> {
    let mut writer = RowWriter::create(path, &picture.header(), options)?;
    for first in (0..picture.height()).step_by(tall) {
        writer.write_rows(&picture.samples(first..(first + tall).min(picture.height())))?;
    }
    writer.finish()
}

fn open(path: &Path) -> Picture {
    read(path, &Limits::default()).unwrap()
}

#[test]
fn what_is_read_is_what_was_given() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(1, 1), (7, 5), (131, 67), (1, 300), (300, 1)] {
        for (grey, alpha) in [(false, false), (false, true), (true, false), (true, true)] {
            let picture = sample(width, height, grey, alpha);
            for (ending, tall) in [("png", 1), ("png", 3), ("tif", 1), ("tiff", 64), ("webp", 2)] {
                let path = folder.path().join(format!("rows.{ending}"));
                by_rows(&path, &picture, tall, &WriteOptions::default()).unwrap();
                assert_eq!(open(&path), picture, "{width}x{height} {ending}");
            }
        }
    }
}

#[test]
fn sixteen_bits_are_kept_where_the_format_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let value = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16;
    for (grey, alpha) in [(false, false), (false, true), (true, false), (true, true)] {
        let rgb = (0..37 * 23 * 3).map(|i| value(if grey { i / 3 } else { i })).collect();
        let mut picture = Picture::new(37, 23, rgb).with_alpha(alpha.then(|| (0..37 * 23).map(value).collect()));
        picture.grey = grey;
        for ending in ["png", "tif"] {
            let path = folder.path().join(format!("deep.{ending}"));
            write(&path, &picture, &WriteOptions::default()).unwrap();
            assert_eq!(read_any(&path, &Limits::default()).unwrap(), picture.clone().into(), "{ending}");
            let eight = open(&path);
            assert_eq!(eight.rgb(), picture.converted::<u8>().rgb());
            assert_eq!(eight.lost, ["read as 8 bits per sample, though the file has 16"]);
        }
        let opaque = picture.with_alpha(None);
        for ending in ["jpg", "webp"] {
            let path = folder.path().join(format!("deep.{ending}"));
            let said = write(&path, &opaque, &WriteOptions::default()).unwrap_err();
            assert!(matches!(said.why, Fault::TooDeep { .. }), "{said}");
            write_any(&path, &opaque.clone().into(), &WriteOptions::default()).unwrap();
        }
    }
}

#[test]
fn a_file_does_not_depend_on_how_its_rows_came() {
    let folder = tempfile::tempdir().unwrap();
    let provenance = Provenance { software: "pdn".into(), facts: vec![("Prompt", "a dog".into())] };
    let options = WriteOptions { provenance: Some(provenance), ..WriteOptions::default() };
    let picture = sample(70, 45, false, false);
    for ending in ["png", "tif", "jpg", "webp"] {
        let [whole, rows] = ["whole", "rows"].map(|name| folder.path().join(format!("{name}.{ending}")));
        write(&whole, &picture, &options).unwrap();
        for tall in [1, 7, 45] {
            by_rows(&rows, &picture, tall, &options).unwrap();
            assert!(std::fs::read(&whole).unwrap() == std::fs::read(&rows).unwrap(), "{ending} by {tall}");
        }
    }
}

#[test]
fn jpeg_takes_an_alpha_that_is_opaque_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let plain = sample(40, 30, false, false);
    write(&path, &plain, &WriteOptions::default()).unwrap();
    let expected = open(&path);
    let mut alpha = vec![255; 1200];
    by_rows(&path, &plain.clone().with_alpha(Some(alpha.clone())), 8, &WriteOptions::default()).unwrap();
    assert_eq!(open(&path), expected);
    std::fs::remove_file(&path).unwrap();
    alpha[1100] = 254;
    let said = by_rows(&path, &plain.with_alpha(Some(alpha)), 8, &WriteOptions::default()).unwrap_err();
    assert!(matches!(said.why, Fault::NoAlpha), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn rows_that_are_not_the_picture_s_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let header = Header { width: 4, height: 3, alpha: true, ..Header::default() };
    for ending in ["png", "tif", "jpg", "webp"] {
        let path = folder.path().join(format!("a.{ending}"));
        let writer = || RowWriter::create(&path, &header, &WriteOptions::default()).unwrap();
        let mut part = writer();
        assert!(part.unfinished().exists());
        assert!(matches!(part.write_rows(&[255; 17]).unwrap_err().why, Fault::PartOfRow { found: 17, row: 16 }));
        let mut few = writer();
        few.write_rows(&[255; 32]).unwrap();
        assert!(matches!(few.finish().unwrap_err().why, Fault::Rows { found: 2, expected: 3 }));
        let mut many = writer();
        many.write_rows(&[255; 48]).unwrap();
        let said = many.write_rows(&[255; 16]).unwrap_err();
        assert!(matches!(said.why, Fault::Rows { found: 4, expected: 3 }));
        assert!(said.to_string().contains(&*path.to_string_lossy()), "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn what_a_format_cannot_hold_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, width, height, expected) in [
        ("a.jpg", 1, 65_536, "65535"),
        ("a.webp", 16_384, 1, "16383"),
        ("a.png", 1 << 31, 1, "2147483647"),
        ("a.tif", 1, 1 << 32, "4294967295"),
        ("a.tif", 0, 1, "at least one pixel"),
        ("a.png", 1, 0, "at least one pixel"),
        ("a.gif", 1, 1, ".png"),
    ] {
        let header = Header { width, height, ..Header::default() };
        let path = folder.path().join(name);
        let said = RowWriter::create(&path, &header, &WriteOptions::default()).err().expect(name).to_string();
        assert!(said.contains(name) && said.contains(expected), "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
