//! Reads and writes files of every kind, and refuses invalid ones.

use image::{DynamicImage, ExtendedColorType, ImageBuffer, ImageEncoder, ImageFormat};
use pdn_image::{Fault, Limits, Picture, Provenance, WriteOptions, check_target, read, read_bytes, write};
use std::io::Cursor;
use std::path::Path;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn sample() -> Picture {
    Picture::from_rgb(6, 4, (0..72).map(|i| (i * 3) as u8).collect())
}

fn open(bytes: &[u8]) -> Picture {
    read_bytes(bytes, &Limits::default()).unwrap()
}

#[test]
fn every_format_is_written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let alpha = (0..24).map(|i| (i * 10) as u8).collect::<Vec<u8>>();
    let mut grey = Picture::from_rgb(6, 4, (0..24_u8).flat_map(|i| [i * 9; 3]).collect());
    grey.grey = true;
    for (picture, endings) in [
        (sample(), &["png", "webp", "WebP", "tif"][..]),
        (sample().with_alpha(Some(alpha.clone())), &["png", "webp", "TIFF"]),
        (grey.clone(), &["png", "PNG", "tif"]),
        (grey.with_alpha(Some(alpha)), &["png", "tiff"]),
    ] {
        for ending in endings {
            let path = folder.path().join(format!("写真 ü.{ending}"));
            write(&path, &picture, &WriteOptions::default()).unwrap();
            assert_eq!(read(&path, &Limits::default()).unwrap(), picture, "{ending}");
        }
    }
    let path = folder.path().join("photo.JPG");
    let smooth = Picture::from_rgb(32, 32, (0..32 * 32 * 3).map(|i| (i / 96 * 7) as u8).collect());
    write(&path, &smooth, &WriteOptions { quality: Some(100), ..WriteOptions::default() }).unwrap();
    let again = read(&path, &Limits::default()).unwrap();
    assert!(again.rgb().iter().zip(smooth.rgb()).all(|(a, b)| a.abs_diff(*b) <= 4));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[cfg(unix)]
#[test]
fn outputs_have_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("a.png"), folder.path().join("b"));
    write(&ours, &sample(), &WriteOptions::default()).unwrap();
    std::fs::write(&plain, b"").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

#[test]
fn bmp_grey_and_sixteen_bits_are_read() {
    let image = DynamicImage::ImageRgb8(ImageBuffer::from_raw(6, 4, sample().rgb().to_vec()).unwrap());
    assert_eq!(open(&encoded(&image, ImageFormat::Bmp)), sample());
    let grey = DynamicImage::ImageLuma8(ImageBuffer::from_raw(2, 1, vec![5, 200]).unwrap());
    let grey = open(&encoded(&grey, ImageFormat::Png));
    assert!(grey.grey && grey.rgb() == [5, 5, 5, 200, 200, 200]);
    let deep = ImageBuffer::from_raw(2, 1, vec![0_u16, 65535, 257, 128, 129, 65406]).unwrap();
    let deep = open(&encoded(&DynamicImage::ImageRgb16(deep), ImageFormat::Png));
    assert_eq!(deep.rgb(), [0, 255, 1, 0, 1, 254]);
    assert_eq!(deep.lost, ["read as 8 bits per sample, though the file has 16"]);
    let clear = DynamicImage::ImageRgba8(ImageBuffer::from_raw(1, 1, vec![1, 2, 3, 4]).unwrap());
    assert_eq!(open(&encoded(&clear, ImageFormat::Png)).alpha(), Some(&[4][..]));
}

#[test]
fn tiffs_of_others_are_read() {
    let compressed = |compression| {
        let mut bytes = Cursor::new(Vec::new());
        let encoder = tiff::encoder::TiffEncoder::new_big(&mut bytes).unwrap().with_compression(compression);
        let mut encoder = encoder.with_predictor(tiff::encoder::Predictor::Horizontal);
        encoder.write_image::<tiff::encoder::colortype::RGB8>(6, 4, sample().rgb()).unwrap();
        bytes.into_inner()
    };
    for compression in [
        tiff::encoder::Compression::Uncompressed,
        tiff::encoder::Compression::Lzw,
        tiff::encoder::Compression::Deflate(Default::default()),
    ] {
        assert_eq!(open(&compressed(compression)), sample());
    }
    // Of 300 samples, three may lie outside the range from black to white.
    let floats = |first: [f32; 6]| {
        let samples = first.into_iter().chain(std::iter::repeat_n(0.2, 294)).collect();
        encoded(&DynamicImage::ImageRgb32F(ImageBuffer::from_raw(10, 10, samples).unwrap()), ImageFormat::Tiff)
    };
    let float = open(&floats([0.0, 1.0, 0.5, 2.0, -1.0, f32::NAN]));
    assert_eq!(float.rgb()[..7], [0, 255, 128, 255, 0, 0, 51]);
    for (first, said) in [
        ([2.0, -1.0, f32::NAN, 255.0, 0.0, 0.0], "from -1 to 255; scale them to 0 to 1"),
        ([f32::INFINITY, 0.5, 7.0, 7.0, 7.0, 0.0], "from 0 to inf; scale them to 0 to 1"),
    ] {
        let error = read_bytes(&floats(first), &Limits::default()).unwrap_err();
        assert!(matches!(error, Fault::Unsupported(_)) && error.to_string().contains(said), "{error}");
    }
    for numbers in [vec![f32::NAN; 6], vec![0.5, f32::NAN, 0.25, 0.5, 0.5, 0.5]] {
        let nothing = ImageBuffer::from_raw(2, 1, numbers).unwrap();
        let nothing = encoded(&DynamicImage::ImageRgb32F(nothing), ImageFormat::Tiff);
        assert!(read_bytes(&nothing, &Limits::default()).unwrap_err().to_string().contains("not numbers"));
    }
    assert_eq!(float.lost, ["read as 8 bits per sample, though the file has more than 16"]);
    let mut pages = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut pages).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray8>(2, 1, &[7, 9]).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray8>(1, 1, &[0]).unwrap();
    let first = open(&pages.into_inner());
    assert!(first.grey && first.rgb() == [7, 7, 7, 9, 9, 9]);
    assert_eq!(first.lost, ["the file holds more than one picture: only the first is read"]);
}

/// Returns a TIFF of one strip, with the given number of 8-bit samples per pixel.
fn banded(samples: u16, data: &[u8]) -> Vec<u8> {
    let long = |tag: u16, value: u32| (tag, 4_u16, value);
    let entries = [
        long(256, 2),
        long(257, 1),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        long(273, 8),
        (277, 3, u32::from(samples)),
        long(278, 1),
        long(279, data.len() as u32),
    ];
    let mut bytes = b"II\x2a\0".to_vec();
    bytes.extend((8 + data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn a_pixel_of_a_tiff_takes_no_more_than_it_may() {
    let data: Vec<u8> = (0..128).collect();
    assert_eq!(open(&banded(64, &data)).rgb(), [0, 0, 0, 64, 64, 64]);
    let error = read_bytes(&banded(65, &data), &Limits::default()).unwrap_err();
    assert!(matches!(error, Fault::Unsupported(_)) && error.to_string().contains("65 samples"), "{error}");
    let error = read_bytes(&banded(u16::MAX, &data), &Limits::default()).unwrap_err();
    assert!(matches!(error, Fault::Unsupported(_)), "{error}");
}

#[test]
fn a_jpeg_s_markers_may_be_filled_up() {
    let jpeg =
        encoded(&DynamicImage::ImageRgb8(ImageBuffer::from_pixel(9, 7, image::Rgb([90, 90, 90]))), ImageFormat::Jpeg);
    let mut filled = jpeg[..2].to_vec();
    let mut at = 2;
    // Stop at the scan marker, which data follows.
    while jpeg[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        filled.extend([0xff; 3]);
        filled.extend(&jpeg[at..at + length]);
        at += length;
    }
    filled.extend(&jpeg[at..]);
    assert_eq!(open(&filled), open(&jpeg));
}

#[test]
fn of_what_moves_the_first_picture_is_read_and_said() {
    let mut moving = Vec::new();
    let mut encoder = png::Encoder::new(&mut moving, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[7, 8, 9]).unwrap();
    writer.write_image_data(&[9, 8, 7]).unwrap();
    writer.finish().unwrap();
    let dark = DynamicImage::ImageRgb8(ImageBuffer::from_pixel(1, 1, image::Rgb([7, 8, 9])));
    let still = encoded(&dark, ImageFormat::WebP);
    // The same picture as an animation: 1x1, no delay, no loop, the same pixel chunk twice (WebP's container
    // specification).
    let chunk = |name: &[u8; 4], data: &[u8]| [name, &(data.len() as u32).to_le_bytes()[..], data].concat();
    // The last byte of a frame's header means: replace, do not blend.
    let frame = chunk(b"ANMF", &[&[0; 15][..], &[2], &still[12..]].concat());
    let parts =
        [chunk(b"VP8X", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]), chunk(b"ANIM", &[0; 6]), frame.clone(), frame].concat();
    for bytes in [moving, chunk(b"RIFF", &[b"WEBP", &parts[..]].concat())] {
        let first = open(&bytes);
        assert_eq!(first.rgb(), [7, 8, 9]);
        assert_eq!(first.lost, ["the file holds more than one picture: only the first is read"]);
    }
    assert!(open(&still).lost.is_empty());
}

#[test]
fn pictures_are_turned_as_exif_says() {
    // A 2x1 picture, dark then bright; for each orientation, where the dark pixel ends up.
    for (orientation, size, first) in [
        (1, (2, 1), 0),
        (2, (2, 1), 1),
        (3, (2, 1), 1),
        (4, (2, 1), 0),
        (5, (1, 2), 0),
        (6, (1, 2), 0),
        (7, (1, 2), 1),
        (8, (1, 2), 1),
    ] {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        // A little-endian TIFF with one entry: the orientation, as one short.
        let exif =
            [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0], &[0; 4]].concat();
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(&[0, 0, 0, 255, 255, 255], 2, 1, ExtendedColorType::Rgb8).unwrap();
        let picture = open(&bytes);
        assert_eq!((picture.width(), picture.height()), size, "orientation {orientation}");
        let dark = picture.plane(0).position(|v| v == 0).unwrap();
        assert_eq!(dark, first, "orientation {orientation}");
    }
}

/// Returns a profile without tags.
fn profile(space: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 132][..], &[0; 12], space, &[0; 16], b"acsp", &[0; 92]].concat()
}

#[test]
fn an_icc_profile_is_carried_where_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    for (space, kept) in [(b"RGB ", true), (b"CMYK", false)] {
        let icc = profile(space);
        let mut picture = sample();
        picture.icc = Some(icc.clone());
        for ending in ["png", "jpg", "webp", "tif"] {
            let path = folder.path().join(format!("p.{ending}"));
            write(&path, &picture, &WriteOptions::default()).unwrap();
            let found = read(&path, &Limits::default()).unwrap();
            assert_eq!(found.icc, kept.then(|| icc.clone()), "{ending}");
            assert_eq!(found.lost.len(), usize::from(!kept), "{:?}", found.lost);
        }
    }
}

/// Returns the XMP packet that the decoders find.
fn packet(path: &Path) -> Option<String> {
    if path.extension().is_some_and(|ending| ending == "tif") {
        let mut decoder = tiff::decoder::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
        let packet = decoder.get_tag_u8_vec(tiff::tags::Tag::Unknown(700)).ok();
        return packet.map(|bytes| String::from_utf8(bytes).unwrap());
    }
    let reader = image::ImageReader::open(path).unwrap().with_guessed_format().unwrap();
    let packet = image::ImageDecoder::xmp_metadata(&mut reader.into_decoder().unwrap()).unwrap();
    packet.map(|bytes| String::from_utf8(bytes).unwrap())
}

fn element(packet: &str, namespace: &str, name: &str) -> String {
    let document = roxmltree::Document::parse(packet).unwrap();
    let node = document.descendants().find(|node| node.has_tag_name((namespace, name))).expect(name);
    node.text().unwrap_or_default().to_owned()
}

fn made(prompt: &str) -> WriteOptions {
    let provenance = Provenance { software: "pdn <1>".into(), facts: vec![("Prompt", prompt.into())] };
    WriteOptions { provenance: Some(provenance), ..WriteOptions::default() }
}

#[test]
fn how_it_was_made_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut profiled = sample();
    profiled.icc = Some(profile(b"RGB "));
    let prompts = [
        "a brown dog",
        "\"quotes\" & 'more' <b>&amp;</b> ]]> -- ?>",
        "two\nlines\tand a tab ",
        "ein Hündchen, 犬, 🐕, \u{301}\u{202e}\u{10ffff}",
        "",
    ];
    for (picture, ending) in [
        (&sample(), "png"),
        (&sample(), "jpg"),
        (&sample(), "webp"),
        (&sample(), "tif"),
        (&profiled, "png"),
        (&profiled, "jpg"),
        (&profiled, "webp"),
        (&profiled, "tif"),
    ] {
        for prompt in prompts {
            let path = folder.path().join(format!("made.{ending}"));
            write(&path, picture, &WriteOptions::default()).unwrap();
            let plain = read(&path, &Limits::default()).unwrap();
            assert_eq!(packet(&path), None);
            write(&path, picture, &made(prompt)).unwrap();
            let mut found = read(&path, &Limits::default()).unwrap();
            assert_eq!(std::mem::take(&mut found.lost), ["its XMP is left out"]);
            assert_eq!(found, plain, "{ending}: pixels and profile stay");
            let packet = packet(&path).expect(ending);
            assert_eq!(element(&packet, "urn:pdn:xmp:1.0/", "Prompt"), prompt, "{ending}");
            assert_eq!(element(&packet, "http://ns.adobe.com/xap/1.0/", "CreatorTool"), "pdn <1>");
        }
    }
    let path = folder.path().join("made.png");
    write(&path, &sample(), &made("a\r\nb\rc\0d\u{1b}e\u{ffff}")).unwrap();
    assert_eq!(element(&packet(&path).unwrap(), "urn:pdn:xmp:1.0/", "Prompt"), "a\nb\nc\u{fffd}d\u{fffd}e\u{fffd}");
}

#[test]
fn what_a_jpeg_has_no_place_for_is_said_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let long = made(&"é".repeat(32_700));
    for path in [at("long.png"), at("long.webp"), at("long.tif")] {
        check_target(&path, 6, 4, false, &long).unwrap();
        write(&path, &sample(), &long).unwrap();
        assert_eq!(element(&packet(&path).unwrap(), "urn:pdn:xmp:1.0/", "Prompt").chars().count(), 32_700);
    }
    for said in [check_target(&at("long.jpg"), 6, 4, false, &long), write(&at("long.jpg"), &sample(), &long)] {
        let said = said.unwrap_err().to_string();
        assert!(said.contains("long.jpg") && said.contains("65504"), "{said}");
    }
    write(&at("fits.jpg"), &sample(), &made(&"é".repeat(32_000))).unwrap();
    assert_eq!(element(&packet(&at("fits.jpg")).unwrap(), "urn:pdn:xmp:1.0/", "Prompt").chars().count(), 32_000);
}

#[test]
fn what_is_no_picture_is_said_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let png = encoded(&DynamicImage::new_rgb8(40, 40), ImageFormat::Png);
    let jpeg = encoded(&DynamicImage::new_rgb8(40, 40), ImageFormat::Jpeg);
    let tiff = encoded(&DynamicImage::new_rgb8(40, 40), ImageFormat::Tiff);
    for (name, bytes, expected) in [
        ("empty.png", &b""[..], "is empty"),
        ("text.png", b"hello, this is text", "expected PNG, JPEG, WebP, TIFF, BMP or GIF"),
        ("cut.png", &png[..png.len() / 2], "damaged or cut short"),
        ("cut.jpg", &jpeg[..jpeg.len() - 8], "damaged or cut short"),
        ("cut.tif", &tiff[..tiff.len() - 8], "damaged or cut short"),
        ("head.tif", &tiff[..20], "damaged or cut short"),
        ("stub.jpg", &jpeg[..20], "damaged or cut short"),
        ("stub.gif", b"GIF89a\x01\0\x01\0\0\0\0", "damaged or cut short"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "\"Most Compatible\""),
        ("film.mp4", b"\0\0\0\x14ftypisom\0\0\0\0mp42", "save a frame"),
        ("page.jpg", b"<!doctype html><html>", "a web page"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let said = read(&path, &Limits::default()).unwrap_err().to_string();
        assert!(said.contains(name) && said.contains(expected) && !said.contains('\n'), "{said}");
    }
    let said = |path: &Path| read(path, &Limits::default()).unwrap_err().to_string();
    assert!(said(folder.path()).contains("is a folder"));
    assert!(said(&folder.path().join("none.png")).contains("no such file"));
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    // A one-row PNG whose header claims 100,000 x 100,000, and a similar BMP and TIFF.
    let mut png = encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let mut bmp = encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    let mut tiff = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut tiff).unwrap();
    let mut claim = encoder.new_image::<tiff::encoder::colortype::RGB8>(60_000, 60_000).unwrap();
    claim.rows_per_strip(60_000).unwrap();
    claim.finish().unwrap();
    // So large that the PNG decoder itself would refuse it first.
    let mut row = png.clone();
    row[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
    let crc = crc32(&row[12..29]);
    row[29..33].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(read_bytes(&row, &Limits::default()), Err(Fault::TooLarge { height: 1, .. })));
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0\x3b".to_vec();
    for bytes in [png, bmp, tiff.into_inner(), gif] {
        match read_bytes(&bytes, &Limits::default()) {
            Err(Fault::TooLarge { limit: 100_000_000, .. } | Fault::Damaged(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let small = encoded(&DynamicImage::new_rgb8(10, 10), ImageFormat::Png);
    assert!(matches!(
        read_bytes(&small, &Limits { pixels: 99, ..Limits::default() }),
        Err(Fault::TooLarge { pixels: 100, .. })
    ));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[test]
fn a_target_that_cannot_be_written_is_said_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("taken.png")).unwrap();
    std::fs::write(at("file"), b"").unwrap();
    for (path, width, transparent, expected) in [
        (at("a.gif"), 10, false, ".png, .tif, .tiff, .jpg, .jpeg"),
        (at("a"), 10, false, ".png, .tif, .tiff, .jpg, .jpeg"),
        (at("a.jpg"), 65_536, false, "65535"),
        (at("a.webp"), 16_384, false, "16383"),
        (at("a.jpg"), 10, true, "write .png, .tif or .webp"),
        (at("none/a.png"), 10, false, "does not exist"),
        (at("file/a.png"), 10, false, "does not exist"),
        (at("taken.png"), 10, false, "is a folder"),
    ] {
        let said = check_target(&path, width, 10, transparent, &WriteOptions::default()).unwrap_err().to_string();
        assert!(said.contains(expected) && said.contains(&*path.to_string_lossy()), "{said}");
    }
    check_target(&at("fine.jpg"), 65_535, 10, false, &WriteOptions::default()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "checking leaves nothing behind");
}

/// Returns a picture of slow waves, which any codec preserves well.
#[cfg(any(feature = "avif", feature = "webp-lossy"))]
fn smooth(width: usize, height: usize) -> Picture {
    let level = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (128.0 + 100.0 * ((x as f64 / 17.0 + c as f64).sin() * (y as f64 / 13.0).cos())) as u8
    };
    Picture::from_rgb(width, height, (0..width * height * 3).map(level).collect())
}

#[cfg(any(feature = "avif", feature = "webp-lossy"))]
fn psnr(a: &Picture, b: &Picture) -> f64 {
    pdn_image::psnr(a, b, pdn_image::Protocol { space: pdn_image::ColourSpace::Rgb, shave: 0 }).unwrap()
}

#[cfg(feature = "webp-lossy")]
#[test]
fn webp_of_a_quality_is_near_and_keeps_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.webp");
    let alpha: Vec<u8> = (0..61 * 47).map(|i| (i * 7 % 256) as u8).collect();
    for (grey, alpha) in [(false, None), (true, None), (false, Some(alpha.clone())), (true, Some(alpha))] {
        let mut picture = smooth(61, 47).with_alpha(alpha);
        if grey {
            let rgb = picture.plane(0).flat_map(|v| [v; 3]).collect();
            picture = picture.with_rgb(rgb);
        }
        picture.grey = grey;
        picture.icc = Some(profile(if grey { b"GRAY" } else { b"RGB " }));
        let mut sizes = Vec::new();
        for quality in [30, 95] {
            write(&path, &picture, &WriteOptions { quality: Some(quality), ..made("a dog") }).unwrap();
            sizes.push(std::fs::metadata(&path).unwrap().len());
            let found = read(&path, &Limits::default()).unwrap();
            assert_eq!(found.alpha(), picture.alpha(), "alpha is kept");
            assert_eq!(element(&packet(&path).unwrap(), "urn:pdn:xmp:1.0/", "Prompt"), "a dog");
            if picture.alpha().is_none() {
                let least = if quality == 30 { 25.0 } else { 35.0 };
                assert!(psnr(&found, &picture) > least);
            }
            if !grey {
                assert_eq!(found.icc, picture.icc);
            }
        }
        assert!(sizes[0] < sizes[1], "{sizes:?}");
        write(&path, &picture, &WriteOptions::default()).unwrap();
        assert_eq!(read(&path, &Limits::default()).unwrap().rgb(), picture.rgb(), "without a quality nothing is lost");
    }
}

#[cfg(feature = "avif")]
#[test]
fn avif_is_near_and_keeps_what_is_said() {
    use pdn_image::{AnyPicture, Depth, read_any, write_any};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.avif");
    let ramp: Vec<u8> = (0..61 * 47).map(|i| (i % 61 * 4) as u8).collect();
    for (grey, alpha) in [(false, None), (true, None), (false, Some(ramp.clone())), (true, Some(ramp))] {
        let mut picture = smooth(61, 47).with_alpha(alpha);
        if grey {
            let rgb = picture.plane(0).flat_map(|v| [v; 3]).collect();
            picture = picture.with_rgb(rgb);
        }
        picture.grey = grey;
        picture.icc = Some(profile(if grey { b"GRAY" } else { b"RGB " }));
        for any in [AnyPicture::from(picture.clone()), AnyPicture::from(picture.converted::<u16>())] {
            let mut sizes = Vec::new();
            for quality in [30, 95] {
                write_any(&path, &any, &WriteOptions { quality: Some(quality), ..made("a dog") }).unwrap();
                let bytes = std::fs::read(&path).unwrap();
                sizes.push(bytes.len());
                assert!(bytes.windows(5).any(|word| word == b"a dog"));
                let found = read_any(&path, &Limits::default()).unwrap();
                assert_eq!(found.lost(), ["its XMP is left out"]);
                let (found_is, is) = (found.header(), any.header());
                assert_eq!((found_is.grey, found_is.alpha, found_is.depth), (grey, is.alpha, is.depth));
                assert_eq!(found_is.icc, picture.icc);
                let least = if quality == 30 { 25.0 } else { 40.0 };
                assert!(psnr(&found.eight(), &picture) > least, "{quality}: {}", psnr(&found.eight(), &picture));
                let alphas = found.eight();
                let alphas = alphas.alpha().unwrap_or_default().iter().zip(picture.alpha().unwrap_or_default());
                assert!(alphas.into_iter().all(|(a, b)| a.abs_diff(*b) <= 2));
            }
            assert!(sizes[0] < sizes[1], "{sizes:?}");
        }
    }
    // AVIF keeps 10 of 16 bits, which is more than 8.
    let ramp = Picture::new(64, 64, (0..64 * 64 * 3).map(|i| 30_000 + (i / 3 % 64) as u16 * 40).collect());
    write_any(&path, &ramp.clone().into(), &WriteOptions { quality: Some(100), ..WriteOptions::default() }).unwrap();
    let AnyPicture::Sixteen(found) = read_any(&path, &Limits::default()).unwrap() else { panic!("8 bits") };
    assert_eq!(found.header().depth, Depth::Sixteen);
    let most = found.rgb().iter().zip(ramp.rgb()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(most < 128, "{most} of 65535 from what was given: 257 is one of 8 bits");
}

#[cfg(feature = "avif")]
#[test]
fn avif_of_any_size_and_a_constant_alpha_that_stays() {
    // The last one is encoded in two tiles.
    for (width, height, levels) in
        [(1, 1, &[0, 1, 77, 254, 255][..]), (1, 9, &[255]), (2, 1, &[3]), (17, 33, &[0, 100, 255]), (800, 660, &[128])]
    {
        for &level in levels {
            let picture = smooth(width, height).with_alpha(Some(vec![level; width * height]));
            let options = WriteOptions { quality: Some(60), ..WriteOptions::default() };
            let bytes = pdn_image::encode(&picture, pdn_image::Format::Avif, &options).unwrap();
            let found = open(&bytes);
            assert_eq!((found.width(), found.height()), (width, height));
            assert_eq!(found.constant_alpha(), Some(level), "{width}x{height}");
        }
    }
}

#[cfg(feature = "avif")]
#[test]
fn a_damaged_avif_is_said() {
    let mut picture = smooth(40, 30).with_alpha(Some((0..1200).map(|i| (i % 256) as u8).collect()));
    picture.icc = Some(profile(b"RGB "));
    let encode = |options| pdn_image::encode(&picture, pdn_image::Format::Avif, &options).unwrap();
    let (plain, whole) = (encode(WriteOptions::default()), encode(made("a dog")));
    for length in (25..plain.len()).step_by(7).chain([plain.len() - 1]) {
        assert!(read_bytes(&plain[..length], &Limits::default()).is_err(), "{length} bytes");
    }
    for (at, flip) in (0..whole.len()).step_by(5).zip([0x01, 0x80, 0xff].into_iter().cycle()) {
        let mut damaged = whole.clone();
        damaged[at] ^= flip;
        // Some changes give another picture or another profile; none may crash the program.
        let _ = read_bytes(&damaged, &Limits { pixels: 100_000, ..Limits::default() });
    }
    assert!(matches!(
        read_bytes(&whole, &Limits { pixels: 1199, ..Limits::default() }),
        Err(Fault::TooLarge { pixels: 1200, .. })
    ));
}

#[cfg(feature = "jxl")]
#[test]
fn jpeg_xl_is_what_was_given() {
    use pdn_image::{AnyPicture, read_any, write_any};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jxl");
    let value = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16;
    // Sizes on both sides of a 256-pixel group.
    for (width, height) in [(2, 2), (37, 23), (3, 300), (600, 515)] {
        for (grey, alpha) in [(false, false), (false, true), (true, false), (true, true)] {
            let rgb = (0..width * height * 3).map(|i| value(if grey { i / 3 } else { i })).collect();
            let alpha = alpha.then(|| (0..width * height).map(|i| value(i + 7)).collect());
            let mut deep = Picture::new(width, height, rgb).with_alpha(alpha);
            deep.grey = grey;
            for any in [AnyPicture::from(deep.converted::<u8>()), AnyPicture::from(deep)] {
                write_any(&path, &any, &WriteOptions::default()).unwrap();
                let found = read_any(&path, &Limits::default()).unwrap();
                let samples = |any: &AnyPicture| match any {
                    AnyPicture::Eight(picture) => (
                        picture.converted::<u16>().rgb().to_vec(),
                        picture.converted::<u16>().alpha().map(<[u16]>::to_vec),
                    ),
                    AnyPicture::Sixteen(picture) => (picture.rgb().to_vec(), picture.alpha().map(<[u16]>::to_vec)),
                };
                assert!(samples(&found) == samples(&any), "{width}x{height}, grey {grey}, {:?}", any.header().depth);
                assert_eq!(found.header().depth, any.header().depth);
            }
        }
    }
    for (width, height) in [(1, 5), (5, 1)] {
        let said = write(&path, &Picture::from_rgb(width, height, vec![0; 15]), &WriteOptions::default()).unwrap_err();
        assert!(matches!(said.why, Fault::Narrow { .. }), "{said}");
    }
}

#[cfg(feature = "jxl")]
#[test]
fn jpeg_xl_keeps_a_profile_whatever_is_in_it() {
    // Every kind of predicted header, followed by no data, a little and a lot.
    for platform in [b"APPL", b"MSFT", b"SGI ", b"SUNW", b"XXXX"] {
        for behind in [0, 3, 300, 70_000] {
            let mut icc = profile(b"RGB ");
            icc[4..8].copy_from_slice(b"lcms");
            icc[40..44].copy_from_slice(platform);
            icc.extend((0..behind).map(|i| (i * 7 % 256) as u8));
            let length = icc.len() as u32;
            icc[..4].copy_from_slice(&length.to_be_bytes());
            let mut picture = sample();
            picture.icc = Some(icc.clone());
            let bytes = pdn_image::encode(&picture, pdn_image::Format::JpegXl, &made("a dog")).unwrap();
            assert!(bytes.windows(5).any(|word| word == b"a dog"));
            let found = open(&bytes);
            assert!(found.icc.as_ref() == Some(&icc) && found.rgb() == picture.rgb(), "{platform:?} {behind}");
        }
    }
}

#[cfg(feature = "jxl")]
#[test]
fn jpeg_xl_is_not_written_with_a_profile_that_its_decoder_refuses() {
    let mut icc = profile(b"RGB ");
    // A tag table with one entry: a white point of zero bytes.
    icc.truncate(128);
    icc.extend([0, 0, 0, 1]);
    icc.extend(b"wtpt");
    icc.extend([0, 0, 0, 144, 0, 0, 0, 0]);
    icc[3] = 144;
    let mut picture = sample();
    picture.icc = Some(icc);
    let said = pdn_image::encode(&picture, pdn_image::Format::JpegXl, &WriteOptions::default()).unwrap_err();
    assert!(said.to_string().contains("wtpt"), "{said}");
    assert!(pdn_image::encode(&picture, pdn_image::Format::Png, &WriteOptions::default()).is_ok());
}
