//! Logs of a run: every step in `losses.csv`, every evaluation in `figures.csv`, both as TensorBoard events, and
//! pictures in `samples/`.
//!
//! Event files use TensorFlow's record format (`tensorflow/core/lib/io/record_writer.cc`: length, masked CRC-32C,
//! bytes, masked CRC-32C) for the message `Event` (`tensorflow/core/util/event.proto`), of which the few fields used
//! here are declared.

use crate::run::error::RunError;
use crate::run::task::Progress;
use pdn_image::{Picture, WriteOptions};
use pdn_network::file;
use prost::Message;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Losses, one row per step.
pub const LOSSES: &str = "losses.csv";
/// The most bytes of a table: twenty million steps.
const MOST: u64 = 2 << 30;
/// Metrics, one row per evaluation.
pub const FIGURES: &str = "figures.csv";

/// The folder of sample pictures in a run's folder.
pub const SAMPLES: &str = "samples";

/// A run's logs.
pub(crate) struct Log {
    folder: PathBuf,
    losses: Table,
    figures: Table,
    events: Events,
}

impl Log {
    /// Continues a folder's logs, dropping entries beyond `step`.
    pub(crate) fn open(folder: &Path, step: u64) -> Result<Self, RunError> {
        let (losses, figures) = (Table::open(&folder.join(LOSSES), step)?, Table::open(&folder.join(FIGURES), step)?);
        Ok(Self { folder: folder.to_owned(), losses, figures, events: Events::create(folder, step)? })
    }

    /// Logs a step, and its evaluation if it had one.
    pub(crate) fn step(&mut self, progress: &Progress) -> Result<(), RunError> {
        let Progress { step, loss, terms, rate, seconds, records, evaluated, .. } = progress;
        let row: Vec<(&str, f64)> = [("seconds", *seconds), ("rate", *rate), ("loss", *loss)]
            .into_iter()
            .chain(terms.iter().copied())
            .collect();
        self.losses.row(step.done, &row)?;
        let scalars = row.iter().skip(1).map(|(name, value)| (format!("train/{name}"), *value));
        self.events.write(step.done, scalars.map(scalar).collect())?;
        if let Some(record) = records.last().filter(|_| *evaluated) {
            let row: Vec<(&str, f64)> = record.figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            self.figures.row(step.done, &[[("seconds", *seconds), ("loss", record.loss)].as_slice(), &row].concat())?;
            let scalars = record.figures.iter().map(|(name, value)| (format!("held back/{name}"), *value));
            self.events.write(step.done, scalars.map(scalar).collect())?;
        }
        Ok(())
    }

    /// Writes sample pictures, replacing earlier ones of the same names.
    pub(crate) fn samples(&mut self, step: u64, pictures: &[(String, Picture)]) -> Result<(), RunError> {
        let folder = self.folder.join(SAMPLES);
        if !pictures.is_empty() {
            std::fs::create_dir_all(&folder).map_err(|e| RunError::file(&folder, e))?;
        }
        for (name, picture) in pictures {
            let path = folder.join(format!("{name}.png"));
            pdn_image::write(&path, picture, &WriteOptions::default()).map_err(|e| RunError::file(&path, e.why))?;
            let encoded = std::fs::read(&path).map_err(|e| RunError::file(&path, e))?;
            let (height, width) = (picture.height() as i32, picture.width() as i32);
            let image = Some(Image { height, width, colorspace: 3, encoded });
            self.events.write(step, vec![Value { tag: name.clone(), scalar: None, image }])?;
        }
        Ok(())
    }

    /// Flushes everything to its files.
    pub(crate) fn flush(&mut self) -> Result<(), RunError> {
        self.losses.flush()?;
        self.figures.flush()?;
        self.events.flush()
    }
}

/// A table of numbers by step; its first row names the columns.
struct Table {
    path: PathBuf,
    file: BufWriter<File>,
    begun: bool,
}

impl Table {
    fn open(path: &Path, step: u64) -> Result<Self, RunError> {
        let text = match file::read_text(path, MOST) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|e| RunError::file(path, e))?,
        };
        // The last line may be cut off if the process was killed.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let upto = |line: &&str| line.split(',').next().and_then(|n| n.parse::<u64>().ok()).is_none_or(|n| n <= step);
        let kept: String = whole.split_inclusive('\n').filter(upto).collect();
        pdn_image::write_atomically(path, kept.as_bytes()).map_err(|e| RunError::file(path, e.why))?;
        let file = File::options().append(true).open(path).map_err(|e| RunError::file(path, e))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), begun: !kept.is_empty() })
    }

    fn row(&mut self, step: u64, row: &[(&str, f64)]) -> Result<(), RunError> {
        let mut text = String::new();
        if !self.begun {
            text = row.iter().fold("step".to_owned(), |line, (name, _)| line + "," + name) + "\n";
            self.begun = true;
        }
        text += &row.iter().fold(step.to_string(), |line, (_, value)| line + "," + &value.to_string());
        writeln!(self.file, "{text}").map_err(|e| RunError::file(&self.path, e))
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.file.flush().map_err(|e| RunError::file(&self.path, e))
    }
}

/// A TensorBoard event file.
struct Events {
    path: PathBuf,
    file: BufWriter<File>,
}

#[derive(Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session: Option<Session>,
}

#[derive(Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    scalar: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

#[derive(Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

/// `SessionLog`: with the status START, readers drop entries of earlier files from that step on.
#[derive(Message)]
struct Session {
    #[prost(int32, tag = "1")]
    status: i32,
}

const START: i32 = 1;

fn scalar((tag, value): (String, f64)) -> Value {
    Value { tag, scalar: Some(value as f32), image: None }
}

impl Events {
    /// Creates a new file: those of earlier sessions stay, and readers join them.
    fn create(folder: &Path, step: u64) -> Result<Self, RunError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = folder.join(format!("events.out.tfevents.{}.pdn.{:09}", now.as_secs(), now.subsec_nanos()));
        let file = File::create(&path).map_err(|e| RunError::file(&path, e))?;
        let mut events = Self { path, file: BufWriter::new(file) };
        events.event(Event { file_version: Some("brain.Event:2".into()), ..events.at(0) })?;
        events.event(Event { session: Some(Session { status: START }), ..events.at(step + 1) })?;
        Ok(events)
    }

    fn at(&self, step: u64) -> Event {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Event { wall_time: now.as_secs_f64(), step: step as i64, ..Event::default() }
    }

    fn write(&mut self, step: u64, values: Vec<Value>) -> Result<(), RunError> {
        self.event(Event { summary: Some(Summary { values }), ..self.at(step) })
    }

    fn event(&mut self, event: Event) -> Result<(), RunError> {
        self.file.write_all(&record(&event.encode_to_vec())).map_err(|e| RunError::file(&self.path, e))
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.file.flush().map_err(|e| RunError::file(&self.path, e))
    }
}

/// Encodes a TensorFlow record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length, masked(&length).as_slice(), data, &masked(data)].concat()
}

/// Returns the masked CRC-32C of records; the mask allows for data that itself contains CRCs.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}
