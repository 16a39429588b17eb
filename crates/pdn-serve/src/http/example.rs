//! The example picture: a lighthouse at dusk, drawn large and shrunk as training pictures are.

use axum::body::Bytes;
use pdn::{Degradation, Format, Picture, WriteOptions, encode};
use std::sync::OnceLock;

/// Width and height of the small picture, and the factor by which it is drawn larger.
const SIZE: (usize, usize) = (192, 128);
const LARGER: usize = 4;

/// Returns the picture's file, drawn on first use.
pub(crate) fn png() -> Option<Bytes> {
    static PNG: OnceLock<Option<Bytes>> = OnceLock::new();
    PNG.get_or_init(|| {
        let small = Degradation::BlurBicubic.apply(&draw(), LARGER).ok()?.into_eight();
        encode(&small, Format::Png, &WriteOptions::default()).ok().map(Bytes::from)
    })
    .clone()
}

type Colour = [f64; 3];

fn mix(a: Colour, b: Colour, t: f64) -> Colour {
    let t = t.clamp(0.0, 1.0);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

fn draw() -> Picture {
    let (width, height) = (SIZE.0 * LARGER, SIZE.1 * LARGER);
    // Two samples per side of each pixel, for smooth edges.
    let colour = |i: usize| -> Colour {
        let mut sum = [0.0; 3];
        for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
            let (x, y) = (((i % width) as f64 + dx) / height as f64, ((i / width) as f64 + dy) / height as f64);
            sum.iter_mut().zip(scene(x, y)).for_each(|(sum, c)| *sum += c / 4.0);
        }
        sum
    };
    let level = |c: f64| (c.clamp(0.0, 1.0) * 255.0).round() as u8;
    Picture::from_rgb(width, height, (0..width * height).flat_map(|i| colour(i).map(level)).collect())
}

/// Returns the colour at a place: x from 0 to 1.5, y from 0 at the top to 1.
fn scene(x: f64, y: f64) -> Colour {
    if let Some(colour) = tower(x, y) {
        return colour;
    }
    let cliff =
        0.74 - 0.13 * ((x - 0.78) * 2.3).max(0.0).powf(0.55) + 0.012 * (x * 41.0).sin() + 0.006 * (x * 97.0).sin();
    if x > 0.78 - 0.16 * (y - 0.74) + 0.010 * (y * 47.0).sin() && y > cliff {
        return rock(x, y, y - cliff);
    }
    if y > 0.7 { sea(x, y) } else { sky(x, y) }
}

/// The lighthouse: striped, with a gallery, a lamp and a roof.
fn tower(x: f64, y: f64) -> Option<Colour> {
    let (middle, base, top) = (1.17, 0.635, 0.24);
    let across = x - middle;
    let half = 0.040 + 0.022 * (y - top) / (base - top);
    // Darker on the side away from the sun.
    let shade = |colour: Colour| mix(colour, [0.16, 0.12, 0.24], 0.15 + 0.55 * ((across / half + 1.0) / 2.0));
    if (top..base).contains(&y) && across.abs() < half {
        let stripe = ((y - top) / (base - top) * 5.0 + 0.18 * across / half).floor() as i64 % 2 == 0;
        let window = across.abs() < 0.011 && [0.34, 0.49].iter().any(|at| (y - at).abs() < 0.016);
        let door = across.abs() < 0.016 && y > 0.585;
        return Some(match (window || door, stripe) {
            (true, _) => [0.10, 0.08, 0.15],
            (false, true) => shade([0.80, 0.20, 0.17]),
            (false, false) => shade([0.99, 0.95, 0.88]),
        });
    }
    if (0.222..0.24).contains(&y) && across.abs() < 0.058 {
        return Some(shade([0.22, 0.20, 0.30]));
    }
    // The rail of the gallery.
    if (0.196..0.222).contains(&y) && across.abs() < 0.056 {
        let post = (across * 130.0).rem_euclid(1.0) < 0.28 || y < 0.201;
        if post {
            return Some([0.15, 0.13, 0.22]);
        }
    }
    if (0.165..0.222).contains(&y) && across.abs() < 0.030 {
        let frame = (across * 60.0 + 0.5).rem_euclid(1.0) < 0.14;
        return Some(if frame {
            [0.15, 0.13, 0.22]
        } else {
            mix([1.0, 0.98, 0.80], [1.0, 0.78, 0.36], across.abs() / 0.030)
        });
    }
    let roof = 0.036 * (y - 0.118) / 0.047;
    if (0.118..0.165).contains(&y) && across.abs() < roof {
        return Some(shade([0.62, 0.14, 0.15]));
    }
    None
}

fn sky(x: f64, y: f64) -> Colour {
    let (dx, dy) = (x - 0.42, y - 0.60);
    let distance = dx.hypot(dy);
    let mut colour = mix([0.14, 0.17, 0.38], [0.52, 0.34, 0.52], y / 0.38);
    colour = mix(colour, [0.99, 0.62, 0.40], (y - 0.28) / 0.42);
    if distance < 0.088 {
        return mix([1.0, 0.95, 0.74], [1.0, 0.80, 0.46], distance / 0.088);
    }
    colour = mix([1.0, 0.78, 0.48], colour, 0.25 + (distance - 0.088) / 0.24);
    // Long clouds, lit from below.
    for (cx, cy, wide, high) in
        [(0.30, 0.36, 0.26, 0.016), (0.62, 0.44, 0.22, 0.012), (0.10, 0.50, 0.16, 0.011), (0.86, 0.29, 0.20, 0.012)]
    {
        let edge = ((x - cx) / wide).powi(2) + ((y - cy + 0.006 * (x * 60.0).sin()) / high).powi(2);
        if edge < 1.0 {
            colour =
                mix(mix([0.98, 0.66, 0.52], [0.42, 0.28, 0.48], (cy + high - y) / (2.0 * high)), colour, edge.powi(3));
        }
    }
    // Stars, and the two beams of the lamp.
    for (sx, sy) in
        [(0.08, 0.07), (0.24, 0.15), (0.37, 0.05), (0.55, 0.12), (0.72, 0.06), (0.90, 0.10), (1.36, 0.05), (0.16, 0.23)]
    {
        let bright = 1.0 - (x - sx).hypot(y - sy) / 0.0055;
        colour = mix(colour, [1.0, 0.98, 0.92], bright);
    }
    let (lx, ly) = (x - 1.17, y - 0.192);
    let beam = (ly + 0.16 * lx).abs() / (0.012 + 0.10 * lx.abs());
    if beam < 1.0 && lx.abs() > 0.03 {
        colour = mix(colour, [1.0, 0.93, 0.70], 0.55 * (1.0 - beam) * (-1.6 * lx.abs()).exp());
    }
    colour
}

fn sea(x: f64, y: f64) -> Colour {
    let depth = (y - 0.7) / 0.3;
    let mut colour = mix([0.78, 0.50, 0.44], [0.10, 0.14, 0.28], depth.powf(0.6));
    let wave = (y * (260.0 - 150.0 * depth) + 2.2 * (x * 9.0 + y * 31.0).sin()).sin() * (x * 23.0 - y * 40.0).cos();
    colour = mix(colour, [0.95, 0.70, 0.52], 0.16 * wave);
    // The sun's reflection.
    let road = (x - 0.42).abs() / (0.035 + 0.16 * depth);
    if road < 1.0 && (y * 420.0 * (1.0 - 0.45 * depth) + (x * 29.0 + y * 60.0).sin()).sin() > 0.2 + 0.8 * road {
        colour = mix(colour, [1.0, 0.84, 0.56], 0.85 * (1.0 - 0.5 * depth));
    }
    boat(x, y).unwrap_or(colour)
}

/// A sailing boat. It is small and near, and drawn with the sea, although its sails reach into the sky.
fn boat(x: f64, y: f64) -> Option<Colour> {
    let (dx, dy) = (x - 0.17, y - 0.86);
    if (0.0..0.022).contains(&dy) && dx.abs() < 0.075 - 1.1 * dy {
        return Some([0.14, 0.10, 0.16]);
    }
    if (-0.135..0.0).contains(&dy) {
        if dx.abs() < 0.0028 {
            return Some([0.14, 0.10, 0.16]);
        }
        let reach = 0.062 * (dy + 0.135) / 0.135;
        if (0.005..reach).contains(&dx) && dy < -0.010 {
            return Some(mix([0.99, 0.93, 0.84], [0.86, 0.66, 0.58], dx / 0.062));
        }
        if (-0.7 * reach..-0.005).contains(&dx) && dy < -0.016 {
            return Some(mix([0.95, 0.86, 0.78], [0.78, 0.56, 0.52], -dx / 0.045));
        }
    }
    None
}

fn rock(x: f64, y: f64, below: f64) -> Colour {
    let grain = (x * 130.0 + 18.0 * (y * 21.0).sin()).sin() * (y * 170.0 + 11.0 * (x * 17.0).sin()).sin();
    if below < 0.022 + 0.006 * (x * 140.0).sin() {
        return mix([0.28, 0.36, 0.22], [0.48, 0.50, 0.26], 0.5 + 0.5 * grain);
    }
    let layers = (y * 62.0 + 3.0 * (x * 7.0).sin() + x * 9.0).sin();
    let colour = mix([0.36, 0.25, 0.29], [0.20, 0.15, 0.23], 0.5 + 0.35 * layers + 0.15 * grain);
    mix(colour, [0.78, 0.46, 0.38], 0.5 * (1.0 - (x - 0.78) * 3.2).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_small_picture() {
        let png = png().unwrap();
        let picture = pdn::read_bytes(&png, &pdn::Limits::default()).unwrap();
        assert_eq!((picture.width(), picture.height()), SIZE);
        assert!(png.len() < 100_000, "{} bytes", png.len());
    }
}
