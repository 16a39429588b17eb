//! The destination of an upscaled picture's rows: a file, written atomically, or standard output once it is complete.

use crate::shared::atomic_file::{AtomicFile, Placed};
use crate::shared::failure::Failure;
use crate::shared::inputs::STANDARD;
use pdn::{FileError, Format, Header, RowEncoder, RowWriter, WriteOptions, check_target};
use std::io::{IsTerminal, Write};
use std::path::Path;

/// A picture while it is written.
pub(crate) enum Sink {
    File { atomic: AtomicFile, writer: Box<RowWriter> },
    Standard(Box<RowEncoder>),
}

impl Sink {
    /// Begins a picture; reports what its format cannot hold before any work.
    pub(crate) fn create(
        output: &Path,
        format: Format,
        header: &Header,
        has_transparency: bool,
        options: &WriteOptions,
    ) -> Result<Self, Failure> {
        if output == Path::new(STANDARD) {
            let encoder = RowEncoder::new(format, header, options).map_err(on_standard)?;
            return Ok(Self::Standard(Box::new(encoder)));
        }
        let atomic = AtomicFile::new(output)?;
        let begin = || {
            check_target(atomic.path(), header.width, header.height, has_transparency, options)?;
            RowWriter::create(atomic.path(), header, options)
        };
        let writer = Box::new(begin().map_err(|error| atomic.named(error))?);
        Ok(Self::File { atomic, writer })
    }

    pub(crate) fn write_rows(&mut self, rows: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File { atomic, writer } => Ok(writer.write_rows(rows).map_err(|error| atomic.named(error))?),
            Self::Standard(encoder) => encoder.write_rows(rows).map_err(on_standard),
        }
    }

    /// Finishes the picture and moves it to its target. With `force`, whatever is there by then is overwritten.
    pub(crate) fn finish(self, force: bool) -> Result<Placed, Failure> {
        match self {
            Self::File { atomic, writer } => {
                writer.finish().map_err(|error| atomic.named(error))?;
                Ok(atomic.place(force)?)
            }
            Self::Standard(encoder) => {
                let bytes = encoder.finish().map_err(on_standard)?;
                let mut out = std::io::stdout().lock();
                let written = out.write_all(&bytes).and_then(|()| out.flush());
                written
                    .map(|()| Placed::There)
                    .map_err(|error| Failure::failed(format_args!("standard output: {error}")))
            }
        }
    }
}

/// Rejects a terminal as the destination of a picture's bytes.
pub(crate) fn check_standard_output() -> Result<(), Failure> {
    match std::io::stdout().is_terminal() {
        true => Err(Failure::usage("standard output is a terminal; redirect it to a file or program, or use -o OUT")),
        false => Ok(()),
    }
}

fn on_standard(why: pdn::FileFault) -> Failure {
    FileError { path: "standard output".into(), why }.into()
}
