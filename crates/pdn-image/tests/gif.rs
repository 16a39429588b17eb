//! Reads GIFs: still, transparent, animated and damaged ones.

use gif::{Encoder, Frame};
use pdn_image::{Fault, Limits, Picture, read_bytes};

/// The palette: red, green and blue.
const PALETTE: &[u8] = &[200, 0, 0, 0, 100, 0, 0, 0, 50];

/// Encodes a GIF of 3x2 pixels.
fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 3, 2, PALETTE).unwrap();
    frames.iter().for_each(|frame| encoder.write_frame(frame).unwrap());
    drop(encoder);
    bytes
}

fn whole() -> Frame<'static> {
    Frame::from_indexed_pixels(3, 2, [0, 1, 2, 2, 1, 0], None)
}

fn open(bytes: &[u8]) -> Picture {
    read_bytes(bytes, &Limits::default()).unwrap()
}

#[test]
fn a_still_one_has_no_alpha() {
    let picture = open(&encoded(&[whole()]));
    assert_eq!((picture.width(), picture.height(), picture.alpha()), (3, 2, None));
    assert_eq!(picture.rgb()[..9], *PALETTE);
    assert_eq!(picture.rgb()[15..], [200, 0, 0]);
    assert!(picture.lost.is_empty() && !picture.grey);
}

#[test]
fn transparency_is_alpha() {
    let picture = open(&encoded(&[Frame { transparent: Some(1), ..whole() }]));
    assert_eq!(picture.alpha().unwrap(), [255, 0, 255, 255, 0, 255]);
}

#[test]
fn of_one_that_moves_the_first_picture_is_read_on_its_canvas() {
    let corner = Frame { left: 1, top: 1, ..Frame::from_indexed_pixels(2, 1, [2, 0], None) };
    let picture = open(&encoded(&[corner, whole()]));
    assert_eq!((picture.width(), picture.height()), (3, 2));
    assert_eq!(picture.alpha().unwrap(), [0, 0, 0, 0, 255, 255]);
    assert_eq!(picture.rgb()[12..], [0, 0, 50, 200, 0, 0]);
    assert_eq!(picture.lost, ["the file holds more than one picture: only the first is read"]);
}

#[test]
fn the_limit_holds_before_anything_is_decoded() {
    let whole = encoded(&[whole()]);
    // Cut where the first picture begins: nothing can be decoded.
    for bytes in [&whole[..], &whole[..40]] {
        let error = read_bytes(bytes, &Limits { pixels: 5, ..Limits::default() }).unwrap_err();
        assert!(matches!(error, Fault::TooLarge { width: 3, height: 2, pixels: 6, limit: 5 }), "{error}");
    }
    // A picture that is larger than its canvas.
    let large = encoded(&[Frame::from_indexed_pixels(3, 3, vec![0; 9], None)]);
    assert!(matches!(
        read_bytes(&large, &Limits { pixels: 8, ..Limits::default() }),
        Err(Fault::TooLarge { pixels: 9, .. })
    ));
    assert_eq!(open(&large).height(), 2);
}

#[test]
fn one_that_is_cut_is_said() {
    let whole = encoded(&[whole()]);
    // Everything is needed except the end marker and the empty block before it.
    for length in 1..whole.len() - 2 {
        let error = read_bytes(&whole[..length], &Limits::default()).unwrap_err();
        assert!(matches!(error, Fault::Damaged(_) | Fault::NotAPicture), "{length} bytes: {error}");
    }
    let nothing = encoded(&[]);
    assert!(matches!(read_bytes(&nothing, &Limits::default()), Err(Fault::Damaged(_))));
}
