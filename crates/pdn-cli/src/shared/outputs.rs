//! Plans where each result goes, and checks everything that can be wrong with that, before any work.

use crate::args::{Outputs, WrittenFormat};
use crate::shared::failure::Failure;
use crate::shared::inputs::{Input, STANDARD};
use pdn::{FileError, Format};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A picture and its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
}

/// The work to do, and the work found done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) tasks: Vec<Task>,
    pub(crate) skipped: Vec<Task>,
}

/// The parts of a name template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name,
    From,
    Size,
    Scale,
    Model,
    Ending,
}

/// The naming of outputs.
pub(crate) struct Naming<'a> {
    args: &'a Outputs,
    template: Vec<Part>,
    /// The values of the model, its scale and the requested size in names.
    model: OsString,
    scale: String,
    size: String,
}

impl WrittenFormat {
    fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpg => "jpg",
            Self::Webp => "webp",
            Self::Tif => "tif",
            #[cfg(feature = "avif")]
            Self::Avif => "avif",
            #[cfg(feature = "jxl")]
            Self::Jxl => "jxl",
        }
    }
}

impl<'a> Naming<'a> {
    /// Parses the template; `model` is the model's name as it was typed.
    pub(crate) fn new(args: &'a Outputs, model: &Path, scale: usize, size: String) -> Result<Self, Failure> {
        let template = parts(&args.name)?;
        if args.format.is_some() && args.output.as_ref().is_some_and(|output| output != Path::new(STANDARD)) {
            return Err(Failure::usage(
                "--format: the extension of the -o file already gives the format; use --format without -o, or with -o -",
            ));
        }
        if args.format.is_some() && !template.contains(&Part::Ending) {
            return Err(Failure::usage(format_args!(
                "--name {}: with --format, the template must contain {{ext}}",
                args.name
            )));
        }
        // For owner/name:file, use the file.
        let name = Path::new(model.file_name().unwrap_or_default());
        let name = name.to_str().and_then(|name| name.rsplit_once(':')).map_or(name, |(_, file)| Path::new(file));
        let model = match name.extension().and_then(OsStr::to_str) {
            Some("safetensors" | "pth" | "pt") => name.file_stem().unwrap_or_default().to_owned(),
            _ => name.as_os_str().to_owned(),
        };
        Ok(Self { args, template, model, scale: scale.to_string(), size })
    }

    /// Plans the work. Anything that would make two pictures one, or overwrite one, is an error before any work.
    pub(crate) fn plan(&self, pictures: Vec<Input>) -> Result<Plan, Failure> {
        if let (Some(output), 2..) = (&self.args.output, pictures.len()) {
            let (output, inputs) = (output.display(), pictures.len());
            return Err(Failure::usage(format_args!(
                "-o {output} names one file for {inputs} pictures; use --out-dir to write them to a folder"
            )));
        }
        let several = pictures.len() > 1;
        let tasks = pictures.into_iter().map(|input| Ok(Task { output: self.output(&input)?, input: input.path }));
        let tasks = self.distinct(tasks.collect::<Result<Vec<_>, Failure>>()?)?;
        if several && tasks.iter().any(|task| task.output == Path::new(STANDARD)) {
            return Err(Failure::usage("cannot write several pictures to standard output; use --out-dir"));
        }
        let is_there = |task: &Task| task.output != Path::new(STANDARD) && task.output.symlink_metadata().is_ok();
        let (there, tasks) = self.without_results(tasks)?.into_iter().partition(is_there);
        let plan = Plan { tasks, skipped: there };
        match plan.skipped.as_slice() {
            [] => Ok(plan),
            _ if self.args.skip_existing => Ok(plan),
            _ if self.args.force => Ok(Plan { tasks: [plan.skipped, plan.tasks].concat(), skipped: Vec::new() }),
            // A folder cannot be overwritten: the writer reports that.
            [task] if task.output.is_dir() => Ok(Plan { tasks: plan.skipped, skipped: Vec::new() }),
            [task, rest @ ..] => {
                let others = match rest.len() {
                    0 => String::new(),
                    1 => " (so does 1 other result)".into(),
                    n => format!(" (so do {n} other results)"),
                };
                let why = format_args!("already exists{others}; use --force to overwrite or --skip-existing to skip");
                Err(Failure::at(&task.output, why))
            }
        }
    }

    fn output(&self, input: &Input) -> Result<PathBuf, Failure> {
        let output = match (&self.args.output, &self.args.out_dir) {
            (Some(output), _) => output.clone(),
            (None, None) if input.path == Path::new(STANDARD) => STANDARD.into(),
            (None, Some(folder)) => folder.join(&input.below).join(self.name(&input.path)),
            (None, None) => input.path.with_file_name(self.name(&input.path)),
        };
        if self.args.output.as_ref().is_some_and(|output| output.is_dir()) {
            return Err(Failure::usage(format_args!("{}: is a folder; use --out-dir instead of -o", output.display())));
        }
        format_of(&output, self.args)?;
        Ok(output)
    }

    fn name(&self, input: &Path) -> OsString {
        let from = input.extension().unwrap_or_default();
        let kept = if is_written(input) { from } else { OsStr::new("png") };
        let ending = self.args.format.map_or(kept, |format| OsStr::new(format.ending()));
        let mut name = OsString::new();
        for part in &self.template {
            name.push(match part {
                Part::Text(text) => OsStr::new(text),
                Part::Name if input == Path::new(STANDARD) => OsStr::new("stdin"),
                Part::Name => input.file_stem().unwrap_or_default(),
                Part::From => from,
                Part::Size => OsStr::new(&self.size),
                Part::Scale => OsStr::new(&self.scale),
                Part::Model => &self.model,
                Part::Ending => ending,
            });
        }
        name
    }

    /// Keeps each output once. A picture that was named twice counts once.
    fn distinct(&self, tasks: Vec<Task>) -> Result<Vec<Task>, Failure> {
        let mut first: HashMap<PathBuf, PathBuf> = HashMap::new();
        let mut kept = Vec::with_capacity(tasks.len());
        for task in tasks {
            match first.get(&whole(&task.output)) {
                None => {
                    first.insert(whole(&task.output), task.input.clone());
                    kept.push(task);
                }
                Some(other) if whole(other) == whole(&task.input) => {}
                Some(other) => {
                    let (one, other, output) = (other.display(), task.input.display(), task.output.display());
                    let name = match task.input.extension() == first[&whole(&task.output)].extension() {
                        true => "",
                        false => "choose another --name, such as {name}_{from}.{ext}, or ",
                    };
                    return Err(Failure::usage(format_args!(
                        "{one} and {other} would both be written to {output}; {name}upscale them separately"
                    )));
                }
            }
        }
        Ok(kept)
    }

    /// Returns the tasks whose output is not an input. With `--skip-existing` an input that is another's output comes
    /// from an earlier run, and is not upscaled again.
    fn without_results(&self, tasks: Vec<Task>) -> Result<Vec<Task>, Failure> {
        let inputs: HashMap<PathBuf, PathBuf> =
            tasks.iter().map(|task| (whole(&task.input), task.input.clone())).collect();
        let is_standard = |task: &Task| task.output == Path::new(STANDARD);
        let clash = |task: &&Task| !is_standard(task) && inputs.contains_key(&whole(&task.output));
        if !self.args.skip_existing {
            return match tasks.iter().find(clash) {
                None => Ok(tasks),
                Some(task) if whole(&task.input) == whole(&task.output) => {
                    let why =
                        format!("{}: would overwrite its own input; choose another output", task.output.display());
                    Err(Failure::usage(why))
                }
                Some(task) => Err(Failure::usage(format_args!(
                    "{}: is also an input, and the result of {} would overwrite it; choose another --out-dir or --name, or use \
                     --skip-existing to skip the results of an earlier run",
                    task.output.display(),
                    task.input.display()
                ))),
            };
        }
        let results: Vec<PathBuf> = tasks.iter().map(|task| whole(&task.output)).collect();
        let results: HashSet<PathBuf> = results.into_iter().collect();
        Ok(tasks.into_iter().filter(|task| !results.contains(&whole(&task.input))).collect())
    }
}

/// Returns the format of a result: by its name, or on standard output by --format.
pub(crate) fn format_of(output: &Path, args: &Outputs) -> Result<Format, FileError> {
    let ending = args.format.map_or("png", WrittenFormat::ending);
    match output == Path::new(STANDARD) {
        true => Format::from_path(&Path::new("standard output").with_extension(ending)),
        false => Format::from_path(output),
    }
}

/// Checks that no output is an input, and no two outputs are the same, if outputs may overwrite files.
pub(crate) fn keep_inputs(tasks: &[Task]) -> Result<(), Failure> {
    let inputs: HashSet<PathBuf> = tasks.iter().map(|task| whole(&task.input)).collect();
    let mut first: HashMap<PathBuf, &Path> = HashMap::new();
    for Task { input, output } in tasks {
        let place = whole(output);
        if inputs.contains(&place) {
            return Err(Failure::usage(format_args!("{}: is also an input; choose another output", output.display())));
        }
        if let Some(other) = first.insert(place, input) {
            let (other, input, output) = (other.display(), input.display(), output.display());
            return Err(Failure::usage(format_args!(
                "{other} and {input} would both be written to {output}; rename one of them"
            )));
        }
    }
    Ok(())
}

/// Rejects an existing output unless `force` is set.
pub(crate) fn keep_other(output: &Path, force: bool) -> Result<(), Failure> {
    match !force && output.symlink_metadata().is_ok() {
        true => Err(Failure::at(output, "already exists; use --force to overwrite")),
        false => Ok(()),
    }
}

fn is_written(path: &Path) -> bool {
    Format::from_path(path).is_ok()
}

/// Canonicalises a path, however it was typed: whether the file exists or only its folder.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
        parent.join(path.file_name().unwrap_or_default())
    })
}

fn parts(template: &str) -> Result<Vec<Part>, Failure> {
    let wrong = |why: String| Failure::usage(format_args!("--name {template}: {why}"));
    if template.contains(['/', '\\']) {
        return Err(wrong("expected a file name without folders; use --out-dir for the folder".into()));
    }
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (placeholder, after) = after.split_once('}').ok_or_else(|| wrong("unclosed {, expected }".into()))?;
        parts.extend((!text.is_empty()).then(|| Part::Text(text.into())));
        parts.push(match placeholder {
            "name" => Part::Name,
            "from" => Part::From,
            "size" => Part::Size,
            "scale" => Part::Scale,
            "model" => Part::Model,
            "ext" => Part::Ending,
            other => {
                return Err(wrong(format!(
                    "unknown placeholder {{{other}}}: expected name, from, size, scale, model or ext"
                )));
            }
        });
        rest = after;
    }
    parts.extend((!rest.is_empty()).then(|| Part::Text(rest.into())));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Outputs {
        let name = "{name}_{size}.{ext}".into();
        Outputs { output: None, out_dir: None, name, format: None, force: false, skip_existing: false }
    }

    fn input(path: &str, below: &str) -> Input {
        Input { path: path.into(), below: below.into() }
    }

    fn named(args: &Outputs, model: &str, input: &Input) -> String {
        let naming = Naming::new(args, Path::new(model), 4, "x4".into()).unwrap();
        naming.output(input).unwrap().to_string_lossy().replace('\\', "/")
    }

    #[test]
    fn names_are_made_by_the_template() {
        let mut args = args();
        for (path, expected) in [
            ("a/photo.jpg", "a/photo_x4.jpg"),
            ("photo.JPEG", "photo_x4.JPEG"),
            ("photo.bmp", "photo_x4.png"),
            ("photo", "photo_x4.png"),
            ("a.b.tif", "a.b_x4.tif"),
        ] {
            assert_eq!(named(&args, "pdn-x4", &input(path, "")), expected);
        }
        args.out_dir = Some("out".into());
        args.format = Some(WrittenFormat::Webp);
        assert_eq!(named(&args, "pdn-x4", &input("in/sub/photo.jpg", "sub")), "out/sub/photo_x4.webp");
        args.name = "{model}-{name}-{from}.{ext}".into();
        for (model, expected) in
            [("dir/IMDN_x4.pth", "IMDN_x4"), ("owner/model", "model"), ("owner/model:a.b.safetensors", "a.b")]
        {
            assert_eq!(named(&args, model, &input("photo.jpg", "")), format!("out/{expected}-photo-jpg.webp"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(OsStr::from_bytes(b"a\xff.png")).to_owned();
        let args = args();
        let naming = Naming::new(&args, Path::new("m"), 2, "x2".into()).unwrap();
        let output = naming.output(&Input { path, below: PathBuf::new() }).unwrap();
        assert_eq!(output.as_os_str().as_bytes(), b"a\xff_x2.png");
    }

    #[test]
    fn templates_that_are_none() {
        for (template, format, word) in [
            ("a/{name}.png", None, "--out-dir"),
            ("{name", None, "unclosed {"),
            ("{nome}.png", None, "expected name, from"),
            ("{name}.png", Some(WrittenFormat::Jpg), "{ext}"),
        ] {
            let args = Outputs { name: template.into(), format, ..args() };
            let error = Naming::new(&args, Path::new("m"), 4, "x4".into()).err().unwrap();
            assert!(error.code == 2 && error.message.contains(word), "{}", error.message);
        }
        let args = Outputs { name: "{name}.gif".into(), ..args() };
        let naming = Naming::new(&args, Path::new("m"), 4, "x4".into()).unwrap();
        assert_eq!(naming.plan(vec![input("a.png", "")]).unwrap_err().code, 2);
    }

    #[test]
    fn what_would_take_a_picture_away_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a.png", "b.png", "a_x4.png"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let plan = |args: &Outputs, names: &[&str]| {
            let inputs = names.iter().map(|name| Input { path: at(name), below: PathBuf::new() }).collect();
            Naming::new(args, Path::new("m"), 4, "x4".into()).unwrap().plan(inputs)
        };
        let names = |tasks: &[Task]| -> Vec<PathBuf> { tasks.iter().map(|task| task.input.clone()).collect() };
        let plain = args();
        let there = plan(&plain, &["a.png", "b.png"]).unwrap_err();
        assert!(
            there.code == 1 && there.message.contains("a_x4.png") && there.message.contains("--force"),
            "{there:?}"
        );
        let skip = Outputs { skip_existing: true, ..args() };
        let made = plan(&skip, &["a.png", "b.png", "a_x4.png"]).unwrap();
        assert_eq!((names(&made.tasks), names(&made.skipped)), (vec![at("b.png")], vec![at("a.png")]));
        let force = Outputs { force: true, ..args() };
        assert_eq!(plan(&force, &["a.png", "b.png", "a.png"]).unwrap().tasks.len(), 2, "named twice, meant once");
        let itself = plan(&force, &["a.png", "a_x4.png"]).unwrap_err();
        assert!(itself.code == 2 && itself.message.contains("is also an input"), "{itself:?}");
        let same = Outputs { name: "{name}.{ext}".into(), ..args() };
        assert!(plan(&same, &["a.png"]).unwrap_err().message.contains("its own input"));
        let one = Outputs { name: "x.png".into(), ..args() };
        let both = plan(&one, &["a.png", "b.png"]).unwrap_err();
        assert!(["a.png", "b.png", "x.png"].iter().all(|name| both.message.contains(name)), "{both:?}");
        let output = Outputs { output: Some("o.png".into()), ..args() };
        assert!(plan(&output, &["a.png", "b.png"]).unwrap_err().message.contains("--out-dir"));
    }
}
