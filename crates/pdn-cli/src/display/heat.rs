//! Heat maps over a picture, side by side, with their names and colour bars.

use colorgrad::Gradient;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_7X13 as FONT;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::text::{Baseline, Text};
use pdn::{Map, Picture, resize_to};

/// Maps of one kind, one per row, with a shared colour scale; or only the picture in each row.
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) maps: Vec<Map<f32>>,
}

const MARGIN: usize = 12;
const LINE: usize = 18;
const BAR: usize = 12;
/// The share of the heat in a colour; the rest is the picture, in grey.
const HEAT: f64 = 0.7;

/// Draws rows and columns under their names, with panels whose longer side is `side` pixels, and below each column its
/// colour scale from its smallest value to its largest.
pub(crate) fn sheet(picture: &Picture, rows: &[String], columns: &[Column], side: usize) -> Picture {
    let (width, height) = fitted(picture, side);
    let small = resize_to(&picture.clone().with_alpha(None), width, height);
    let row_height = LINE + height + MARGIN;
    let size =
        (MARGIN + columns.len() * (width + MARGIN), MARGIN + LINE + rows.len() * row_height + BAR + LINE + MARGIN);
    let mut canvas = Canvas { width: size.0, height: size.1, rgb: vec![255; size.0 * size.1 * 3] };
    let heat: Vec<[u8; 3]> = (0..256).map(colour).collect();
    for (r, row) in rows.iter().enumerate() {
        canvas.write(row, MARGIN, MARGIN + LINE + r * row_height, size.0 - 2 * MARGIN);
    }
    for (c, column) in columns.iter().enumerate() {
        let left = MARGIN + c * (width + MARGIN);
        canvas.write(&column.title, left, MARGIN, width);
        let range = range(&column.maps);
        for r in 0..rows.len() {
            let top = MARGIN + 2 * LINE + r * row_height;
            let panel = match column.maps.get(r) {
                Some(map) => warmed(&small, &resize_to(&levels(map, range), width, height), &heat),
                None => small.rgb().to_vec(),
            };
            canvas.put(&panel, width, left, top);
        }
        if !column.maps.is_empty() {
            canvas.bar(&heat, range, left, MARGIN + LINE + rows.len() * row_height, width);
        }
    }
    Picture::from_rgb(canvas.width, canvas.height, canvas.rgb)
}

/// Returns the width and height of a picture resized to a longer side of `side`.
fn fitted(picture: &Picture, side: usize) -> (usize, usize) {
    let longer = picture.width().max(picture.height());
    let fit = |length: usize| (length * side).div_ceil(longer).max(1);
    (fit(picture.width()), fit(picture.height()))
}

fn colour(level: usize) -> [u8; 3] {
    let [r, g, b, _] = colorgrad::preset::inferno().at(level as f32 / 255.0).to_rgba8();
    [r, g, b]
}

/// Returns the smallest and the largest value.
fn range(maps: &[Map<f32>]) -> (f32, f32) {
    let values = || maps.iter().flat_map(|map| map.data.iter().copied());
    (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max))
}

/// Converts a map to grey levels, 0 for the smallest value of a range and 255 for the largest.
fn levels(map: &Map<f32>, (low, high): (f32, f32)) -> Picture {
    let level = |v: &f32| if high > low { ((v - low) / (high - low) * 255.0).round() as u8 } else { 128 };
    let mut picture = Picture::from_rgb(map.width, map.height, map.data.iter().flat_map(|v| [level(v); 3]).collect());
    picture.grey = true;
    picture
}

fn blend(heat: [u8; 3], grey: f64) -> [u8; 3] {
    heat.map(|v| (HEAT * f64::from(v) + (1.0 - HEAT) * grey).round() as u8)
}

/// Returns a picture in grey, with the heat over it.
fn warmed(picture: &Picture, levels: &Picture, heat: &[[u8; 3]]) -> Vec<u8> {
    let luma = |p: &[u8]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
    let pixels = picture.rgb().chunks_exact(3).zip(levels.plane(0));
    pixels.flat_map(|(pixel, level)| blend(heat[usize::from(level)], luma(pixel))).collect()
}

/// The drawing surface.
struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    /// Writes one line, truncated to `width` pixels. The font has Latin letters; others become question marks.
    fn write(&mut self, text: &str, x: usize, y: usize, width: usize) {
        let most = width / (FONT.character_size.width + FONT.character_spacing) as usize;
        let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() > most {
            line = line.chars().take(most.saturating_sub(3)).chain("...".chars()).collect();
        }
        let style = MonoTextStyle::new(&FONT, Rgb888::BLACK);
        let Ok(_) = Text::with_baseline(&line, Point::new(x as i32, y as i32), style, Baseline::Top).draw(self);
    }

    fn put(&mut self, panel: &[u8], width: usize, left: usize, top: usize) {
        for (y, row) in panel.chunks_exact(width * 3).enumerate() {
            self.rgb[((top + y) * self.width + left) * 3..][..row.len()].copy_from_slice(row);
        }
    }

    /// Draws every colour, as it looks on middle grey, between the values at the ends of the scale.
    fn bar(&mut self, heat: &[[u8; 3]], (low, high): (f32, f32), left: usize, top: usize, width: usize) {
        let row: Vec<u8> = (0..width).flat_map(|x| blend(heat[x * 255 / (width - 1).max(1)], 128.0)).collect();
        self.put(&row.repeat(BAR), width, left, top);
        let (low, high) = (format!("{low:.3}"), format!("{high:.3}"));
        let right = left + width.saturating_sub(high.len() * FONT.character_size.width as usize);
        self.write(&low, left, top + BAR + 3, width);
        self.write(&high, right, top + BAR + 3, width);
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y))
                && x < self.width
                && y < self.height
            {
                self.rgb[(y * self.width + x) * 3..][..3].copy_from_slice(&[colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_a_panel_for_each_map_and_shares_colours_in_a_column() {
        let picture = Picture::from_rgb(4, 2, vec![128; 24]);
        let map = |value: f32| Map::new(1, 2, 4, vec![value; 8]);
        let columns = [
            Column { title: "picture".into(), maps: vec![] },
            Column { title: "mask".into(), maps: vec![map(0.25), map(0.75)] },
        ];
        let sheet = sheet(&picture, &["one".into(), "two".into()], &columns, 64);
        assert_eq!(
            (sheet.width(), sheet.height()),
            (2 * 64 + 3 * MARGIN, 4 * LINE + 2 * (32 + MARGIN) + 2 * MARGIN + BAR)
        );
        let pixel = |x: usize, y: usize| &sheet.rgb()[(y * sheet.width() + x) * 3..][..3];
        let (left, first, second) =
            (MARGIN + 64 + MARGIN + 30, MARGIN + 2 * LINE + 16, MARGIN + 3 * LINE + 32 + MARGIN + 16);
        assert_eq!(pixel(MARGIN + 30, first), [128; 3], "the picture as it is");
        assert_eq!(pixel(left, first), blend(colour(0), 128.0));
        assert_eq!(pixel(left, second), blend(colour(255), 128.0));
        let bar = sheet.height() - MARGIN - LINE - BAR;
        assert_eq!(pixel(MARGIN + 64 + MARGIN, bar), blend(colour(0), 128.0));
        assert_eq!(pixel(MARGIN + 64 + MARGIN + 63, bar), blend(colour(255), 128.0));
    }

    #[test]
    fn any_words_and_any_size_are_drawn() {
        let long = "犬 \u{1f415}\n\"long\" ".repeat(50);
        for (width, height, words, panel) in
            [(1, 300, long.as_str(), 1), (300, 1, "", 64), (64, 64, &long, 64), (1, 1, "é", 64)]
        {
            let picture = Picture::from_rgb(width, height, vec![9; width * height * 3]);
            let map = Map::new(1, height, width, vec![0.5; width * height]);
            let column = Column { title: words.into(), maps: vec![map] };
            let drawn = sheet(&picture, &[words.into()], &[column], 64);
            assert_eq!(drawn.width(), panel + 2 * MARGIN, "{width}x{height}");
        }
    }
}
