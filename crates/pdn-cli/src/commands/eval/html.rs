//! The report of `--report`: one page with everything in it.

use super::crops::{Crop, SIDE};
use super::found::{Found, Scored};
use crate::args::version;
use crate::shared::bootstrap::ahead;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 1rem 0; }
dt { opacity: .7; } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .15rem 0 .15rem 1.4rem; text-align: right; font-weight: normal; vertical-align: top; }
td:first-child, th:first-child { text-align: left; padding-left: 0; white-space: nowrap; }
thead th { border-bottom: 1px solid; } .sum { font-weight: 600; }
.crops { display: flex; flex-wrap: wrap; gap: .6rem; margin: .3rem 0 1.6rem; }
figure { margin: 0; } figure img { display: block; width: 192px; image-rendering: pixelated; }
figcaption { font-size: .85rem; max-width: 192px; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; } .better { fill: #2a9d5c; } .worse { fill: #d1495b; } .axis { stroke: currentColor; opacity: .5; }
";

/// Returns the page.
pub(super) fn page(found: &Found) -> String {
    let rows = found.rows();
    let (pictures, sums) = rows[1..].split_at(found.scored.len());
    let data = &found.args.data;
    let data = data.file_name().map_or(data.as_os_str(), |name| name).to_string_lossy();
    let title = format!("{} on {data}", found.args.model.model().display());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                dl { @for (what, words) in found.protocol() { dt { (what) } dd { (words) } } }
                (table(&rows[0], sums, "sum"))
                @for (rival, compared) in found.compared.iter().enumerate() {
                    h2 { "PSNR beside " (compared.model.display()) ", in dB, Y (MATLAB)" }
                    (chart(found.scored, rival))
                }
                (crops(found))
                h2 { "Each picture" }
                (table(&rows[0], pictures, ""))
                p { "Made by pdn " (version::NUMBER) "." }
            }
        }
    };
    page.into_string()
}

fn table(heads: &[String], rows: &[Vec<String>], class: &str) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { @for head in heads { th { (head) } } } }
                tbody { @for row in rows { tr class=(class) { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

/// Draws by how much the model is ahead of a rival at each picture, the worst first.
fn chart(scored: &[Scored], rival: usize) -> Markup {
    let psnr = |of: &super::found::Measured| of.scores.psnr();
    let differences = scored.iter().map(|one| ahead(psnr(&one.measured), psnr(&one.against[rival])));
    let mut ahead: Vec<(f64, &str)> = differences.zip(scored.iter().map(|one| one.name.as_str())).collect();
    ahead.retain(|(difference, _)| difference.is_finite());
    ahead.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some((least, _)), Some((most, _))) = (ahead.first(), ahead.last()) else { return html! {} };
    let (least, most) = (least.min(0.0), most.max(0.0));
    if least == most {
        return html! { p { "The same at each picture." } };
    }
    let (width, height) = (960.0, 160.0);
    let (bar, unit) = (width / ahead.len() as f64, height / (most - least));
    let number = |v: f64| format!("{v:.2}");
    let wins = ahead.iter().filter(|(difference, _)| *difference > 0.0).count();
    html! {
        svg viewBox={ "0 0 " (width) " " (height + 22.0) } role="img" {
            @for (i, (difference, name)) in ahead.iter().enumerate() {
                rect x=(number(i as f64 * bar)) y=(number((most - difference.max(0.0)) * unit)) width=(number((bar * 0.95).max(0.5)))
                    height=(number(difference.abs() * unit)) class=(if *difference > 0.0 { "better" } else { "worse" }) {
                    title { (name) ": " (format!("{difference:+.3}")) }
                }
            }
            line.axis x1="0" x2=(width) y1=(number(most * unit)) y2=(number(most * unit)) {}
            text x="0" y=(height + 17.0) font-size="13" fill="currentColor" {
                (format!("sorted, from {:+.3} to {:+.3}; ahead in {wins} of {}", ahead[0].0, ahead[ahead.len() - 1].0, ahead.len()))
            }
        }
    }
}

fn crops(found: &Found) -> Markup {
    let shown: Vec<(&str, &Crop)> =
        found.scored.iter().filter_map(|one| Some((one.name.as_str(), one.crop.as_ref()?))).collect();
    let all = if shown.len() == found.scored.len() { "all pictures" } else { "pictures evenly spaced by name" };
    html! {
        h2 { "Crops" }
        p {
            (shown.len()) " crops, of " (all) ", each of up to " (SIDE) "x" (SIDE) " pixels where bicubic interpolation is furthest "
            "from the original. PSNR in dB of the crop alone, Y (MATLAB)."
        }
        @for (name, crop) in shown {
            div { (name) ", at " (crop.at.0) ", " (crop.at.1) }
            div.crops {
                @for panel in &crop.panels {
                    figure {
                        img src=(panel.address) alt={ (name) " by " (panel.by) };
                        figcaption { (panel.by) @if let Some(psnr) = panel.psnr { " " (format!("{psnr:.2}")) } }
                    }
                }
            }
        }
    }
}
