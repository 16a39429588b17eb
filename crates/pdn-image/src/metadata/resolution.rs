//! The print resolution, in dots per inch or centimetre, as each format stores it.

use image::codecs::jpeg::{PixelDensity, PixelDensityUnit};
use image::metadata::Orientation;

/// Dots per inch or centimetre of paper.
///
/// The resolution is the input file's own. Upscaling keeps it, as editors do, so the print becomes larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Horizontal resolution, in thousandths of a dot.
    pub x: u32,
    /// Vertical resolution, in thousandths of a dot.
    pub y: u32,
    /// The unit of length.
    pub unit: ResolutionUnit,
}

/// A unit of length on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolutionUnit {
    /// 25.4 millimetres.
    Inch,
    /// 10 millimetres.
    Centimetre,
}

use ResolutionUnit::{Centimetre, Inch};

impl Resolution {
    /// Returns `None` if a number is 0, which means none, or larger than any real print.
    fn new(x: u64, y: u64, unit: ResolutionUnit) -> Option<Self> {
        let number = |thousandths: u64| u32::try_from(thousandths).ok().filter(|number| *number > 0);
        Some(Self { x: number(x)?, y: number(y)?, unit })
    }

    /// Converts from dots per metre, as PNG and BMP store them.
    pub(crate) fn on_metre(x: u32, y: u32) -> Option<Self> {
        Self::new(u64::from(x) * 10, u64::from(y) * 10, Centimetre)
    }

    /// Converts from JFIF; unit 0 gives only the pixel aspect ratio.
    pub(crate) fn of_jfif(unit: u8, x: u16, y: u16) -> Option<Self> {
        let unit = [Inch, Centimetre].get(usize::from(unit).checked_sub(1)?).copied()?;
        Self::new(u64::from(x) * 1000, u64::from(y) * 1000, unit)
    }

    /// Converts from TIFF and EXIF, which store each number as a fraction; unit 1 means none, and a missing unit means
    /// inches.
    pub(crate) fn of_tiff(unit: Option<u16>, x: (u32, u32), y: (u32, u32)) -> Option<Self> {
        let unit = match unit.unwrap_or(2) {
            2 => Inch,
            3 => Centimetre,
            _ => return None,
        };
        let thousandths = |(over, under): (u32, u32)| {
            let under = u64::from(under);
            (u64::from(over) * 1000 + under / 2).checked_div(under)
        };
        Self::new(thousandths(x)?, thousandths(y)?, unit)
    }

    /// Returns the dots per metre.
    pub(crate) fn metre(self) -> [u32; 2] {
        let millimetres = if self.unit == Inch { 25.4 } else { 10.0 };
        [self.x, self.y].map(|thousandths| (f64::from(thousandths) / millimetres).round() as u32)
    }

    /// Converts to JFIF's whole numbers. Dots per centimetre that are not whole become dots per inch: rounding those
    /// loses less, as there are more of them.
    pub(crate) fn jfif(self) -> PixelDensity {
        let is_whole = [self.x, self.y].iter().all(|thousandths| thousandths.is_multiple_of(1000));
        let (unit, dots) = match self.unit {
            Centimetre if is_whole => (PixelDensityUnit::Centimeters, 0.001),
            Centimetre => (PixelDensityUnit::Inches, 0.00254),
            Inch => (PixelDensityUnit::Inches, 0.001),
        };
        let number = |thousandths: u32| (f64::from(thousandths) * dots).round().max(1.0) as u16;
        PixelDensity { density: (number(self.x), number(self.y)), unit }
    }

    /// Returns the unit's number in TIFF and EXIF.
    pub(crate) fn tiff_unit(self) -> u16 {
        if self.unit == Inch { 2 } else { 3 }
    }

    /// Returns each number as a fraction, as TIFF and EXIF store it.
    pub(crate) fn tiff(self) -> [(u32, u32); 2] {
        [self.x, self.y].map(|thousandths| match thousandths % 1000 {
            0 => (thousandths / 1000, 1),
            _ => (thousandths, 1000),
        })
    }

    /// Returns the resolution of the rotated picture.
    pub(crate) fn turned(self, orientation: Orientation) -> Self {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        match orientation {
            Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => Self { x: self.y, y: self.x, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inches_survive_metres() {
        for inch in [1, 72, 96, 150, 300, 600, 2400] {
            let [x, y] = Resolution { x: inch * 1000, y: inch * 1000, unit: Inch }.metre();
            let found = Resolution::on_metre(x, y).unwrap().jfif();
            assert_eq!(found, PixelDensity::dpi(inch as u16));
        }
        let centimetres = Resolution::of_jfif(2, 118, 59).unwrap();
        assert_eq!(centimetres.metre(), [11_800, 5_900]);
        assert_eq!(centimetres.jfif(), PixelDensity { density: (118, 59), unit: PixelDensityUnit::Centimeters });
    }

    #[test]
    fn numbers_that_say_nothing_are_none() {
        assert_eq!(Resolution::of_jfif(0, 1, 1), None, "of no unit");
        assert_eq!(Resolution::of_jfif(1, 0, 72), None);
        assert_eq!(Resolution::of_tiff(Some(2), (72, 0), (72, 1)), None);
        assert_eq!(Resolution::of_tiff(Some(1), (1, 1), (1, 1)), None, "of no unit");
        assert_eq!(Resolution::of_tiff(None, (u32::MAX, 1), (72, 1)), None);
        assert_eq!(Resolution::of_tiff(None, (721, 10), (72, 1)).unwrap().tiff(), [(72_100, 1000), (72, 1)]);
    }
}
