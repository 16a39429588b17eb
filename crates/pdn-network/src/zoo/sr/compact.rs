//! PDN-compact: DCMs in a plain chain of convolutions, for video and slow machines.
//!
//! In a residual block only one of two convolutions is followed by a ReLU, and those that end groups and bodies by
//! none: a small network of such blocks is hardly more than one linear filter. Here, as in SRVGGNetCompact
//! (Real-ESRGAN, Wang et al. 2021) and ECBSR (Zhang et al. 2021), every convolution of the body has an activation, and
//! the body adds to an upscaled picture. The upscaling is learned (as in WDSR, Yu et al. 2018) and starts as
//! nearest-neighbour: the last convolution reads the picture along with the body. So all work happens at the small
//! size, before a single pixel shuffle.
//!
//! A DCM here needs its inner residual: no other skip goes around it, and a chain behind a mask learns nothing.

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json, module_after};
use crate::zoo::layout::{DIV2K_MEAN, Layout, as_stored, same};
use crate::{Act, Builder, DcmOptions, Network, NetworkError, PictureFormat};
use serde::{Deserialize, Serialize};

/// Slope of the leaky ReLU after each convolution. A leaky ReLU is fused with the convolution, which a PReLU is not.
const SLOPE: f64 = 0.1;

/// Configuration of PDN-compact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compact {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Convolutions in the body, between the first and the last.
    pub convs: usize,
    /// Number of DCMs, evenly spaced among these convolutions, the last after the last one; at most one after each.
    pub modules: usize,
    /// The configuration of each DCM.
    pub dcm: DcmOptions,
}

impl Compact {
    /// Returns a network of 12 convolutions of 16 features, and one module.
    pub fn small(scale: usize) -> Self {
        let dcm = DcmOptions { residual: true, ..DcmOptions::default() };
        Self { scale, features: 16, convs: 12, modules: 1, dcm }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as more modules than convolutions.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("scale", self.scale, 1..=16),
            ("convs", self.convs, 1..=4096),
        ])?;
        let mut b = Builder::new();
        if self.modules > self.convs {
            b.fail(format!("modules {}: expected at most one for each of {} convolutions", self.modules, self.convs));
        }
        let picture = b.picture();
        let prompt = b.prompt(self.dcm.dim);
        let mut x = b.conv("conv_first", picture, self.features, 3);
        x = b.act(Act::LeakyRelu(SLOPE), x);
        for i in 0..self.convs {
            x = b.conv(&format!("body.{i}"), x, self.features, 3);
            x = b.act(Act::LeakyRelu(SLOPE), x);
            if let Some(module) = module_after(i, self.convs, self.modules) {
                x = b.dcm(&format!("modules.{module}"), x, prompt, &self.dcm);
            }
        }
        let x = b.added_to("conv_last", x, picture, self.scale, 3);
        let x = b.pixel_shuffle(x, self.scale);
        b.finish(ARCHITECTURE.id, self, PictureFormat { range: 1.0, mean: DIV2K_MEAN }, x)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "pdn-compact",
    about: "PDN-compact, DCMs in a plain chain of convolutions",
    build: |config| configuration::<Compact>(config)?.build(),
    presets: &[("pdn-compact", |scale| json(Compact::small(scale)))],
    // Its files are written here and carry their card; no other project's layout exists.
    layouts: &[Layout { name: "pdn", infer: |_| None, key: same, prepare: as_stored, ignored: &[] }],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reaches_as_far_as_it_is_deep() {
        let summary = Compact::small(4).build().unwrap().summary();
        // The first layer, twelve, the module and the last.
        assert_eq!(summary.receptive_radius, 15);
        assert_eq!(summary.whole_picture, 0);
    }

    #[test]
    fn more_modules_than_convolutions_are_refused() {
        let error = Compact { modules: 13, ..Compact::small(4) }.build().unwrap_err();
        assert!(error.to_string().contains("at most one"));
    }
}
