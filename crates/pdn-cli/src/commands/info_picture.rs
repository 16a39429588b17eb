//! `pdn info` of a picture: its format, and the faults that the prompt encoder sees in it.

use crate::args::Info;
use crate::display::say::{out, say};
use crate::display::table::{count, table};
use crate::shared::failure::Failure;
use crate::shared::folder::is_picture_name;
use crate::shared::prompt::encoder;
use crate::shared::steered::in_words;
use imagesize::ImageType;
use pdn::{AnyPicture, Encoder, Header, KnownFaults, Limits, Slot};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;

/// How many bytes of a file to search for its format.
const HEAD: u64 = 64;

/// Returns whether a name is that of a picture's file: by its extension, or for other extensions by the content.
pub(crate) fn is_picture(path: &Path) -> bool {
    let is_model = path.extension().is_some_and(|ending| ["safetensors", "pth", "pt"].iter().any(|own| ending == *own));
    path.is_file() && (is_picture_name(path) || (!is_model && format(path).is_some()))
}

pub(crate) fn run(args: &Info) -> Result<(), Failure> {
    let picture = pdn::read_any(&args.file, &Limits::default())?;
    let encoder = encoder(&args.encoder)?;
    let seen = match encoder.tells_faults() {
        true => {
            let seen = encoder.faults_of_picture(&picture.eight());
            Some(seen.map_err(|error| Failure::at(&args.file, error))?)
        }
        false => None,
    };
    match args.json {
        true => out(&format!("{:#}", as_json(&args.file, &picture, &encoder, seen.as_ref()))),
        false => print(&args.file, &picture, &encoder, seen.as_ref()),
    }
    Ok(())
}

fn print(path: &Path, picture: &AnyPicture, encoder: &Encoder, seen: Option<&KnownFaults>) {
    let header = picture.header();
    say!("{}", path.display());
    let profile = header.icc.as_ref().map_or("none: sRGB".into(), |icc| format!("ICC, {} bytes", count(icc.len())));
    let faults = match seen {
        Some(seen) => format!("{}, as {} sees it", in_words(seen), encoder.id()),
        None => format!("unknown: {} does not tell faults; choose another --encoder", encoder.id()),
    };
    for (name, value) in [
        ("format", format(path).unwrap_or("unknown").to_owned()),
        ("size", format!("{}x{}", header.width, header.height)),
        ("channels", channels(&header)),
        ("depth", format!("{} bits per sample", header.depth.bits())),
        ("profile", profile),
        ("left out", picture.lost().join("; ")),
        ("faults", faults),
    ] {
        if !value.is_empty() {
            say!("  {name:<14}{value}");
        }
    }
    if let Some(seen) = seen {
        say!("");
        out(&table(&rows(seen)));
    }
}

/// Returns the table of the slots.
fn rows(seen: &KnownFaults) -> Vec<Vec<String>> {
    let mut rows = vec![["slot", "level", "amount", "levels in %"].map(str::to_owned).to_vec()];
    for slot in Slot::ALL {
        let level = seen.level(slot).map_or("unknown", |level| slot.levels()[level]);
        let amount = seen.amount(slot).map_or("-".into(), |amount| match slot {
            Slot::Jpeg | Slot::Noise => format!("{amount:.0}"),
            _ => format!("{amount:.2}"),
        });
        let shares = shares(seen, slot).into_iter().map(|(level, share)| format!("{level} {:.0}", 100.0 * share));
        let shares = shares.collect::<Vec<_>>().join(", ");
        rows.push([slot.name(), level, &amount, &shares].map(str::to_owned).to_vec());
    }
    rows
}

/// Returns the probability of each level of a slot, and that of not being known.
fn shares(seen: &KnownFaults, slot: Slot) -> Vec<(&'static str, f32)> {
    let shares = seen.shares(slot);
    let unknown = (1.0 - shares.iter().sum::<f32>()).max(0.0);
    slot.levels().iter().copied().zip(shares).chain([("unknown", unknown)]).collect()
}

fn as_json(path: &Path, picture: &AnyPicture, encoder: &Encoder, seen: Option<&KnownFaults>) -> Value {
    let header = picture.header();
    let slot = |seen: &KnownFaults, slot: Slot| {
        let shares = shares(seen, slot).into_iter().map(|(level, share)| (level.to_owned(), json!(share)));
        json!({
            "slot": slot.name(),
            "level": seen.level(slot).map(|level| slot.levels()[level]),
            "amount": seen.amount(slot),
            "unit": slot.unit().map(|(unit, _)| unit),
            "probabilities": shares.collect::<Map<_, _>>(),
        })
    };
    json!({
        "file": path.display().to_string(),
        "format": format(path),
        "width": header.width,
        "height": header.height,
        "channels": channels(&header),
        "bits": header.depth.bits(),
        "profile_bytes": header.icc.as_ref().map(Vec::len),
        "left_out": picture.lost(),
        "encoder": encoder.id(),
        "faults": seen.map(|seen| json!({
            "words": in_words(seen),
            "slots": Slot::ALL.map(|one| slot(seen, one)),
        })),
    })
}

fn channels(header: &Header) -> String {
    let colours = if header.grey { "grey" } else { "RGB" };
    format!("{colours}{}", if header.alpha { " and alpha" } else { "" })
}

/// Returns the format of a file by how it begins; `None` if it is no picture that can be read. BMP and JPEG XL have too
/// short a signature to tell them without their names.
fn format(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    pdn::file::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    match imagesize::image_type(&head).ok()? {
        ImageType::Png => Some("PNG"),
        ImageType::Jpeg => Some("JPEG"),
        ImageType::Webp => Some("WebP"),
        ImageType::Tiff => Some("TIFF"),
        ImageType::Gif => Some("GIF"),
        ImageType::Heif(_) => Some("AVIF"),
        ImageType::Bmp if is_picture_name(path) => Some("BMP"),
        ImageType::Jxl if is_picture_name(path) => Some("JPEG XL"),
        _ => None,
    }
}
