//! Intact pictures from the project's own writer, which the grammars build on.

use crate::dice::Dice;
use pdn_image::{Format, Picture, WriteOptions, encode};

fn picture(dice: &mut Dice, width: usize, height: usize) -> Picture {
    let (width, height) = (width.max(1), height.max(1));
    let grey = dice.once_in(3);
    let mut rgb = dice.filled(width * height * 3);
    if grey {
        rgb.chunks_exact_mut(3).for_each(|pixel| pixel.fill(pixel[0]));
    }
    let mut picture = Picture::from_rgb(width, height, rgb);
    picture.grey = grey;
    picture
}

fn written(picture: &Picture, format: Format, quality: Option<u8>) -> Vec<u8> {
    let options = WriteOptions { quality, ..WriteOptions::default() };
    encode(picture, format, &options).expect("a small picture is written")
}

pub(crate) fn jpeg(dice: &mut Dice, width: usize, height: usize) -> Vec<u8> {
    let quality = 1 + dice.byte() % 100;
    written(&picture(dice, width, height), Format::Jpeg, Some(quality))
}

pub(crate) fn webp(dice: &mut Dice, width: usize, height: usize) -> Vec<u8> {
    let picture = picture(dice, width, height);
    let alpha = dice.once_in(2).then(|| dice.filled(width.max(1) * height.max(1)));
    written(&picture.with_alpha(alpha), Format::WebP, None)
}
