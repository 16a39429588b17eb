//! Faults on the command line: what befell a picture, told beside its prompt.

use clap::ArgGroup;
use pdn::{FaultsError, Rectangle, ToldFaults};

/// Prompts and faults for parts of a picture.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prompt", group(ArgGroup::new("regions").args(["region", "region_faults"]).multiple(true)))]
pub(crate) struct Parts {
    /// Prompt for a rectangle of the picture, such as 0,0,80,60="a brick wall"; repeatable
    ///
    /// Left, top, width and height are in pixels of the input. Where regions overlap, the later one wins; the other prompts apply
    /// to the rest of the picture.
    #[arg(long, value_name = "X,Y,W,H=TEXT", value_parser = region)]
    pub(crate) region: Vec<(Rectangle, String)>,
    /// Faults of a rectangle, such as 0,0,80,60=blur=heavy,noise=none; repeatable
    ///
    /// They belong to the --region with the same numbers. Without one, the rectangle is a region of its own, above the others, with
    /// the prompt of the rest. --faults applies to the rest only.
    #[arg(long, value_name = "X,Y,W,H=SETTINGS", value_parser = region_faults)]
    pub(crate) region_faults: Vec<(Rectangle, ToldFaults)>,
    /// Width in pixels of the blend between regions
    #[arg(long, value_name = "PIXELS", default_value_t = 8, requires = "regions")]
    pub(crate) feather: usize,
}

impl Parts {
    pub(crate) fn is_empty(&self) -> bool {
        self.region.is_empty() && self.region_faults.is_empty()
    }

    /// Returns the faults told of a rectangle: the last ones.
    pub(crate) fn faults(&self, rectangle: &Rectangle) -> Option<&ToldFaults> {
        self.region_faults.iter().rev().find(|(other, _)| other == rectangle).map(|(_, told)| told)
    }

    /// Returns the rectangles that have faults and no sentence.
    pub(crate) fn without_sentence(&self) -> impl Iterator<Item = &(Rectangle, ToldFaults)> {
        self.region_faults.iter().filter(|(rectangle, _)| !self.region.iter().any(|(other, _)| other == rectangle))
    }
}

/// Parses a rectangle of a picture and its sentence.
fn region(text: &str) -> Result<(Rectangle, String), String> {
    let (rectangle, sentence) = text.split_once('=').ok_or("expected X,Y,W,H=TEXT")?;
    Ok((rectangle_of(rectangle)?, sentence.to_owned()))
}

/// Parses a rectangle of a picture and its faults.
fn region_faults(text: &str) -> Result<(Rectangle, ToldFaults), String> {
    let (rectangle, told) =
        text.split_once('=').ok_or("expected X,Y,W,H=SETTINGS, such as 0,0,80,60=blur=heavy,noise=none")?;
    Ok((rectangle_of(rectangle)?, told.parse().map_err(|error: FaultsError| error.to_string())?))
}

fn rectangle_of(text: &str) -> Result<Rectangle, String> {
    text.parse().map_err(|error: pdn::RegionError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_faults_after_their_numbers() {
        let (rectangle, told) = region_faults("1,2,3,4=blur=heavy,noise=none").unwrap();
        assert_eq!((rectangle.to_string().as_str(), told), ("1,2,3,4", "blur=heavy,noise=none".parse().unwrap()));
        for text in ["1,2,3,4", "1,2,3=unseen", "1,2,3,4=", "1,2,3,4=focus=bad"] {
            assert!(region_faults(text).is_err(), "{text}");
        }
    }
}
