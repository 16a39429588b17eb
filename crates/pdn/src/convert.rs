//! From a picture's 8 bits to a network's numbers and back.

use pdn_engine::Map;
use pdn_image::Picture;
use pdn_network::PictureFormat;

/// `range * (v / 255 - mean)`, channel by channel.
pub(crate) fn to_map(picture: &Picture, format: &PictureFormat) -> Map<f32> {
    let number = |v: u8, mean: f64| (format.range * (f64::from(v) / 255.0 - mean)) as f32;
    let tables = format.mean.map(|mean| std::array::from_fn::<f32, 256, _>(|v| number(v as u8, mean)));
    let data = (0..3).flat_map(|c| picture.plane(c).map(move |v| (c, v)));
    let data = data.map(|(c, v)| tables[c][usize::from(v)]).collect();
    Map::new(3, picture.height(), picture.width(), data)
}

/// Interleaved RGB of 8 bits, rounded and clipped.
pub(crate) fn to_rgb(map: &Map<f32>, format: &PictureFormat) -> Vec<u8> {
    let pixels = map.height * map.width;
    let mut rgb = vec![0; 3 * pixels];
    for (c, (plane, mean)) in map.data.chunks_exact(pixels.max(1)).zip(format.mean).enumerate() {
        for (out, v) in rgb.iter_mut().skip(c).step_by(3).zip(plane) {
            let level = (f64::from(*v) / format.range + mean) * 255.0;
            *out = (level + 0.5).floor().clamp(0.0, 255.0) as u8;
        }
    }
    rgb
}

/// The luma of interleaved RGB, from 0 to 255.
pub(crate) fn luma(rgb: &[u8]) -> impl Iterator<Item = u8> + '_ {
    rgb.chunks_exact(3).map(|p| {
        let [r, g, b] = [p[0], p[1], p[2]].map(f64::from);
        (0.299 * r + 0.587 * g + 0.114 * b).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_survive_the_way_there_and_back() {
        let picture = Picture::from_rgb(16, 16, (0..768).map(|i| (i / 3) as u8).collect());
        for format in [PictureFormat::UNIT, PictureFormat { range: 255.0, mean: [0.4488, 0.4371, 0.4040] }] {
            assert_eq!(to_rgb(&to_map(&picture, &format), &format), picture.rgb());
        }
        assert!(luma(picture.rgb()).eq(picture.plane(0)));
    }
}
