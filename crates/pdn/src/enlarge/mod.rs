//! Upscales a picture: with the network, finishing its rows as the target asks, or with bicubic interpolation alone.

pub(crate) mod alpha;
pub(crate) mod convert;
mod ensemble;
mod rows;
mod stages;

use crate::enlarge::alpha::{Transparency, keep_between, varies};
use crate::enlarge::convert::{Levels, Numbers};
use crate::enlarge::rows::{Rows, bands};
use crate::enlarge::stages::{ColorFix, Resize, Stage};
use crate::error::Error;
use crate::target::{Size, Target};
use pdn_engine::{RunError, RunOptions, Session};
use pdn_image::{Alpha, Header, Light, Picture, Resized, Sample, bleed};
use std::cell::Cell;

/// The work to do.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    /// The header of the result.
    pub(crate) header: &'a Header,
    pub(crate) target: &'a Target,
    pub(crate) options: &'a RunOptions,
}

impl Work<'_> {
    /// Upscales a picture from samples of one type to samples of another: with the network, or with bicubic
    /// interpolation if there is none.
    pub(crate) fn made<S: Sample, T: Sample, E: From<Error>>(
        &self,
        network: Option<&mut Session>,
        picture: &Picture<S>,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { header, target, options } = *self;
        let visible = bleed(picture);
        let (small, size) = ((picture.width(), picture.height()), (header.width, header.height));
        let plain = || Alpha::<S, T>::new(picture, size.0, size.1).map(Transparency::Plain);
        let light = || target.linear_light.then(|| light(picture));
        let Some(network) = network.filter(|_| is_larger(size, small)) else {
            let alpha = plain();
            let stages: Vec<Box<dyn Stage>> = match light() {
                Some(light) => vec![Box::new(Resize::new(small, size, Some(light)))],
                None => Vec::new(),
            };
            return resized(&visible, header, progress, Rows::new(header, small, alpha, stages, give));
        };
        if target.self_ensemble && network.is_regional() {
            let why = "a self-ensemble rotates the picture but not its regions; use one or the other";
            return Err(Error::from(RunError::Regions(why.into())).into());
        }
        // Transparency and colours take half of the time each.
        let (alpha, begun) = match varies(picture) {
            true => {
                let alpha = by_network(self, network, picture, &mut |done| progress(done / 2.0))?;
                (Some(Transparency::Network(alpha, size.0)), 0.5)
            }
            false => (plain(), 0.0),
        };
        let progress: &mut dyn FnMut(f64) -> bool = &mut |done| progress(begun + (1.0 - begun) * done);
        let scale = network.plan().network().scale;
        let large = Size::Model.of(small, scale)?;
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        if target.color_fix {
            stages.push(Box::new(ColorFix::new(&visible, scale)));
        }
        if size != large {
            stages.push(Box::new(Resize::new(large, size, light())));
        }
        let rows = Rows::new(header, large, alpha, stages, give);
        match target.self_ensemble {
            true => averaged(network, &visible, options, progress, rows),
            false => enlarge(network, &visible, options, progress, rows),
        }
    }
}

/// Upscales a picture's transparency with the network, to the size of the result.
fn by_network<S: Sample, T: Sample>(
    work: &Work,
    network: &mut Session,
    picture: &Picture<S>,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Vec<T>, Error> {
    let alpha = picture.alpha().unwrap_or_default();
    let (width, height) = (picture.width(), picture.height());
    let mut grey = Picture::new(width, height, alpha.iter().flat_map(|v| [*v; 3]).collect());
    grey.grey = true;
    let header = Header { grey: true, alpha: false, depth: T::DEPTH, icc: None, exif: None, ..work.header.clone() };
    let target = Target { size: work.target.size, ..Target::default() };
    let mut bytes = Vec::with_capacity(header.row_bytes() * header.height);
    let work = Work { header: &header, target: &target, ..*work };
    work.made::<S, T, Error>(Some(network), &grey, progress, &mut |rows| {
        bytes.extend_from_slice(rows);
        Ok(())
    })?;
    let mut large = T::from_bytes(bytes);
    keep_between(&mut large, header.width, alpha, width);
    Ok(large)
}

/// Returns whether a size exceeds another on at least one side.
pub(crate) fn is_larger(size: (usize, usize), than: (usize, usize)) -> bool {
    size.0 > than.0 || size.1 > than.1
}

/// Returns the tone curves of a picture's profile, or else sRGB's.
fn light<S>(picture: &Picture<S>) -> Light {
    picture.icc.as_deref().and_then(Light::of_profile).unwrap_or_else(Light::srgb)
}

/// Upscales a picture's colours with bicubic interpolation, band by band: rounded between passes as in MATLAB, or
/// through the stages of `rows`.
fn resized<S: Sample, T: Sample, E: From<Error>>(
    visible: &Picture<S>,
    header: &Header,
    progress: &mut dyn FnMut(f64) -> bool,
    mut rows: Rows<S, T, E>,
) -> Result<(), E> {
    let (width, height) = (visible.width(), visible.height());
    let mut go_on = |done: f64| match progress(done) {
        true => Ok(()),
        false => Err(E::from(Error::from(RunError::Cancelled))),
    };
    if rows.has_stages() {
        return bands(width, 0..height).try_for_each(|band| {
            go_on(band.start as f64 / height as f64)?;
            let rgb = &visible.rgb()[band.start * width * 3..band.end * width * 3];
            rows.deep(&rgb.iter().map(|v| u16::of(*v)).collect::<Vec<_>>())
        });
    }
    let large = Resized::<S, T, 3>::to_size(visible.rgb(), width, height, header.width, header.height);
    header.bands(0..header.height).try_for_each(|band| {
        go_on(band.start as f64 / header.height as f64)?;
        rows.give(&large.rows(band))
    })
}

/// Upscales a picture's colours with a network.
fn enlarge<S: Sample, T: Sample, E: From<Error>>(
    network: &mut Session,
    visible: &Picture<S>,
    options: &RunOptions,
    progress: &mut dyn FnMut(f64) -> bool,
    mut rows: Rows<S, T, E>,
) -> Result<(), E> {
    let format = network.plan().network().picture;
    let numbers = Numbers::new(visible, &format);
    let refused = Cell::new(false);
    let mut given = Ok(());
    let run = network.run_rows(&numbers, options, &mut |done| progress(done) && !refused.get(), &mut |piece| {
        if given.is_ok() {
            given = rows.piece(&piece, &format);
            refused.set(given.is_err());
        }
    });
    given?;
    run.map_err(Error::from)?;
    rows.end()
}

/// Upscales a picture's colours with a network, averaged over the eight transforms.
fn averaged<S: Sample, T: Sample, E: From<Error>>(
    network: &mut Session,
    visible: &Picture<S>,
    options: &RunOptions,
    progress: &mut dyn FnMut(f64) -> bool,
    mut rows: Rows<S, T, E>,
) -> Result<(), E> {
    let format = network.plan().network().picture;
    let mean = ensemble::run(network, &Numbers::new(visible, &format), options, progress).map_err(Error::from)?;
    let scale = network.plan().network().scale;
    let (levels, deep) = (Levels::new::<T>(&format), Levels::new::<u16>(&format));
    let (width, height) = (visible.width() * scale, visible.height() * scale);
    bands(width, 0..height).try_for_each(|band| {
        let numbers = mean[band.start * width * 3..band.end * width * 3].iter().enumerate();
        match rows.has_stages() {
            true => rows.deep(&numbers.map(|(i, v)| deep.sample(*v, i % 3)).collect::<Vec<_>>()),
            false => rows.give(&numbers.map(|(i, v)| levels.sample(*v, i % 3)).collect::<Vec<_>>()),
        }
    })
}
