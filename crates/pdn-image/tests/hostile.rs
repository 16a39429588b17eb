//! Reads files that ask for far more than they contain: each is read or refused within what its length and the limit
//! allow.

use pdn_image::{AnyPicture, Fault, Format, Limits, WriteOptions, encode_any, read_any_bytes};
use pdn_testing::hostile;
use peak_alloc::PeakAlloc;
use std::sync::Mutex;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole program, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

const PIXELS: u64 = 1 << 16;

/// The most memory besides the file and the pixels: metadata, which is copied and grows by doubling, and decoders'
/// tables.
const BESIDE: usize = 64 << 20;

/// Reads a file, and checks its peak memory against what `Limits` documents.
#[track_caller]
fn read(name: &str, file: &[u8]) -> Result<AnyPicture, Fault> {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let found = read_any_bytes(file, &Limits { pixels: PIXELS, ..Limits::default() });
    let peak = MEMORY.peak_usage() - before;
    let most = BESIDE + 64 * (file.len() + PIXELS as usize);
    assert!(peak <= most, "{name}: {peak} bytes at its peak, of a file of {} at most {most}", file.len());
    found
}

#[track_caller]
fn refused(name: &str, file: &[u8], why: &str) {
    let said = read(name, file).map(|_| ()).expect_err(name).to_string();
    assert!(said.contains(why), "{name}: {said}");
}

#[track_caller]
fn left_out(name: &str, file: &[u8], what: &str) {
    let found = read(name, file).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    assert!(found.lost().iter().any(|note| note.contains(what)), "{name}: {:?}", found.lost());
    assert!(found.header().exif.is_none() && found.header().icc.is_none(), "{name}");
}

#[test]
fn a_tiff_s_strips_are_no_larger_than_their_place() {
    // A JPEG of 16 pixels per side may fill a strip.
    assert!(read("small", &hostile::tiff_of_jpegs(40, 16)).is_ok());
    refused("JPEG", &hostile::tiff_of_jpegs(40, 17), "a JPEG in it is 17x17, its place 1x1");
    refused("JPEG", &hostile::tiff_of_jpegs(40, 16_384), "a JPEG in it is 16384x16384");
}

#[test]
fn what_is_before_a_strip_s_data_is_not_read_again_and_again() {
    let found = read("few", &hostile::tiff_of_shared_strips(20, 5000)).unwrap();
    assert!(found.eight().rgb().iter().all(|level| *level == 7));
    refused("many", &hostile::tiff_of_shared_strips(5000, 60_000), "its parts are");
}

#[test]
fn tiles_beyond_the_picture_are_bounded() {
    read("tile", &hostile::tiff_of_wide_tiles(4000)).unwrap();
    refused("wide", &hostile::tiff_of_wide_tiles(60_000), "its tiles are 60000x60000");
    refused("wide", &hostile::tiff_of_wide_tiles(u64::from(u32::MAX)), "its tiles are");
    refused("tall", &hostile::tiff_of_tall_tiles(2000, 1_000_000), "its tiles are 1000000x1");
}

#[test]
fn metadata_that_is_the_same_bytes_is_left_out() {
    for big in [false, true] {
        left_out("TIFF", &hostile::tiff_of_exif(3000, 100_000, big), "EXIF");
        // Each value is read if there is room for it.
        assert!(read("small", &hostile::tiff_of_exif(30, 1000, big)).unwrap().header().exif.is_some());
    }
    let block = hostile::exif_of_shared_values(3000, 100_000);
    for (name, file) in [("PNG", hostile::png_of_exif(&block)), ("WebP", hostile::webp_of_exif(&block))] {
        left_out(name, &file, "EXIF");
        let found = read(name, &file).unwrap();
        let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let written = encode_any(&found, Format::Tiff, &WriteOptions::default()).unwrap();
        assert!(written.len() < 10_000 && MEMORY.peak_usage() - before < 1 << 20, "{name}: {}", written.len());
    }
}

#[test]
fn values_that_are_longer_than_the_file_are_not_read() {
    // Extra samples, bits per sample, JPEG tables, and a colour map whose length in bytes exceeds 64 bits.
    for (tag, kind, count) in [(338, 1, 8_000_000), (258, 3, 8_000_000), (347, 7, 250_000_000), (320, 12, u64::MAX)] {
        let found = read("long", &hostile::tiff_of_long_value(tag, kind, count));
        // The colour map is not used by this picture, so it is ignored.
        assert_eq!(found.is_ok(), tag == 320, "{tag}");
    }
    // Profile, EXIF, XMP and IPTC are not essential: the picture is read without them.
    for (tag, kind) in [(34_675, 7), (0x8769, 4), (700, 1), (33_723, 7), (0x010e, 2), (282, 5), (274, 3)] {
        for count in [1 << 20, 1 << 40, u64::MAX] {
            let found = read("long", &hostile::tiff_of_long_value(tag, kind, count)).unwrap();
            assert!(found.header().icc.is_none() && found.header().exif.is_none(), "{tag}");
        }
    }
}

#[test]
fn what_a_png_has_compressed_is_inflated_within_the_budget() {
    left_out("profile", &hostile::png_of_profile(100 << 20), "ICC profile");
    let found = read("texts", &hostile::png_of_texts(300, 10 << 20)).unwrap();
    assert_eq!(found.lost(), ["its XMP is left out", "its IPTC is left out"]);
}

#[test]
fn a_webp_s_chunks_are_held_to_the_file_and_the_limit() {
    assert!(read("small", &hostile::webp_of_exif(b"")).is_ok());
    left_out("profile", &hostile::webp_of_long_profile(u32::MAX - 8), "ICC profile");
    match read("frame", &hostile::webp_of_large_frame(16_383)) {
        Err(Fault::TooLarge { width: 16_383, height: 16_383, .. }) => {}
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn a_jpeg_s_scans_and_pieces_are_counted() {
    assert!(read("pieces", &hostile::jpeg_of_pieces(200, 100)).is_ok());
    refused("pieces", &hostile::jpeg_of_pieces(10_000, 100_000), "in too many pieces");
    refused("scans", &hostile::jpeg_of_scans(5000, 200, 200), "more than 50 scans");
    refused("scans", &hostile::jpeg_of_progressive_scans(5000, 200, 200), "more than 50 scans");
    assert!(read("scans", &hostile::jpeg_of_progressive_scans(50, 200, 200)).is_ok());
}

#[cfg(feature = "avif")]
#[test]
fn an_avif_s_tables_take_no_more_than_they_are() {
    refused("extents", &hostile::avif_of_extents(5000), "its AV1");
    refused("shared", &hostile::avif_of_shared_items(3000, 100_000), "its AV1");
    refused("frames", &hostile::avif_of_frames(5000), "more than 8 frames");
}
