//! `pdn masks`: shows what a prompt makes a network attend to (the paper's Figures 4 and 5).

use crate::args::Masks;
use crate::display::heat::{Column, sheet};
use crate::display::progress::Progress;
use crate::display::say::say;
use crate::shared::atomic_file;
use crate::shared::engine::{enlarge, failure, open, options};
use crate::shared::failure::Failure;
use crate::shared::folder::make_folder;
use crate::shared::outputs::{Task, keep_inputs};
use crate::shared::prompt::{check_faults, encoder, read_source, words};
use crate::shared::steered::Steered;
use pdn::{Encoder, Limits, Map, Picture, Prompt, Upscaler, WriteOptions};
use std::path::Path;

/// Longer sides of the panels in pixels, in separate files and on the sheet.
const LARGE: usize = 512;
const SMALL: usize = 256;

pub(crate) fn run(args: &Masks) -> Result<(), Failure> {
    if !args.given.weights.is_empty() {
        return Err(Failure::usage("--prompt-weights: `pdn masks` compares prompts and does not mix them"));
    }
    check_folder(&args.output, args.force)?;
    let picture = pdn::read(&args.input, &Limits::default())?;
    let upscaler = open(&args.model, &args.engine)?;
    if !upscaler.takes_prompt() {
        return Err(Failure::usage("the model takes no prompt; choose another --model"));
    }
    check_faults("--faults", args.given.faults.is_some(), &upscaler)?;
    let encoder = encoder(&args.encoder)?;
    let mut prompts = args.given.prompts.iter().map(read_source).collect::<Result<Vec<Prompt>, _>>()?;
    if prompts.is_empty() {
        prompts.push(Prompt::None);
    }
    if let Some(told) = &args.given.faults {
        prompts = prompts.into_iter().map(|prompt| told.around(prompt)).collect();
    }
    let progress = Progress::new(prompts.len());
    let (mut rows, mut session) = (Vec::new(), upscaler.session());
    for (i, prompt) in prompts.iter().enumerate() {
        let at = |error| failure(&args.input, error);
        session.set_prompt(prompt, &encoder, &picture).map_err(at)?;
        let run = || session.masks(&picture, &options(&args.engine), &mut |done| progress.show(i, done));
        rows.push(enlarge(&args.engine, run).map_err(at)?);
    }
    drop(progress);
    let columns = columns(rows);
    if columns.len() < 2 {
        return Err(Failure::usage("the model has no attention masks; choose another --model"));
    }
    let words = prompts.iter().map(|prompt| described(&upscaler, prompt, &encoder, &picture));
    let words: Vec<String> = words.collect::<Result<_, _>>().map_err(|error| failure(&args.input, error))?;
    let mut sheets = vec![("sheet.png".to_owned(), sheet(&picture, &words, &columns, SMALL))];
    for column in &columns[1..] {
        for (i, words) in words.iter().enumerate() {
            let alone = Column { title: column.title.clone(), maps: vec![column.maps[i].clone()] };
            let name = format!("{}-{}.png", i + 1, column.title);
            sheets.push((name, sheet(&picture, std::slice::from_ref(words), &[alone], LARGE)));
        }
    }
    let task = |(name, _): &(String, _)| Task { input: args.input.clone(), output: args.output.join(name) };
    keep_inputs(&sheets.iter().map(task).collect::<Vec<_>>())?;
    make_folder(&args.output)?;
    for (name, sheet) in &sheets {
        atomic_file::write(&args.output.join(name), true, |path| pdn::write(path, sheet, &WriteOptions::default()))?;
    }
    let (modules, path) = (columns.len() - 2, args.output.display());
    say!("{path}: masks of {modules} modules and their mean, for {}; overview in sheet.png", words.join(" and "));
    Ok(())
}

/// Returns a prompt in words, with the faults that the model is steered by, if it is.
fn described(upscaler: &Upscaler, prompt: &Prompt, encoder: &Encoder, picture: &Picture) -> Result<String, pdn::Error> {
    let words = words(upscaler, prompt);
    Ok(match Steered::of(upscaler, prompt, encoder, picture)? {
        Some(faults) => format!("{words}, faults {faults}"),
        None => words,
    })
}

/// Rejects a path that is not a folder, and a folder that is not empty unless forced: masks of other prompts would
/// remain there.
fn check_folder(folder: &Path, force: bool) -> Result<(), Failure> {
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::at(folder, "is a file; expected a folder"));
    }
    match std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) && !force {
        true => Err(Failure::at(folder, "is not empty; choose another folder, or use --force to write into it")),
        false => Ok(()),
    }
}

/// Returns the picture, each module's masks and their mean, with a row for each prompt; without modules only the
/// picture.
fn columns(rows: Vec<Vec<(String, Map<f32>)>>) -> Vec<Column> {
    let mut columns = vec![Column { title: "picture".into(), maps: Vec::new() }];
    let means: Vec<Map<f32>> = rows.iter().filter_map(|row| mean(row)).collect();
    for row in rows {
        for (i, (name, map)) in row.into_iter().enumerate() {
            if columns.len() < i + 2 {
                let title = name.strip_suffix(".mask").unwrap_or(&name).to_owned();
                columns.push(Column { title, maps: Vec::new() });
            }
            columns[i + 1].maps.push(map);
        }
    }
    if !means.is_empty() {
        columns.push(Column { title: "mean".into(), maps: means });
    }
    columns
}

/// Returns the mean of maps, which may differ in size: at the size of the first, by nearest pixels.
fn mean(maps: &[(String, Map<f32>)]) -> Option<Map<f32>> {
    let (_, first) = maps.first()?;
    let (height, width) = (first.height, first.width);
    let nearest =
        |map: &Map<f32>, y: usize, x: usize| map.data[y * map.height / height * map.width + x * map.width / width];
    let at = |i: usize| maps.iter().map(|(_, map)| nearest(map, i / width, i % width)).sum::<f32>() / maps.len() as f32;
    Some(Map::new(1, height, width, (0..height * width).map(at).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_of_every_module() {
        let maps = [
            ("a.mask".to_owned(), Map::new(1, 1, 2, vec![0.2, 0.4])),
            ("b.mask".to_owned(), Map::new(1, 2, 4, vec![0.4, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0])),
        ];
        let found = mean(&maps).unwrap();
        assert_eq!((found.height, found.width), (1, 2));
        assert!(found.data.iter().zip([0.3, 0.6]).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        let columns = columns(vec![maps.to_vec(), maps.to_vec()]);
        let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
        assert_eq!(titles, ["picture", "a", "b", "mean"]);
        assert!(columns[1..].iter().all(|column| column.maps.len() == 2));
    }
}
