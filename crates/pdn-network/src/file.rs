//! Reading files that a user names: only regular files, and only up to a length.
//!
//! A pipe would block forever, and a device such as `/dev/zero` would never end.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Reads a whole file. Error messages are phrased to follow the file's name and a colon.
///
/// # Errors
/// Returns the system's error; [`ErrorKind::IsADirectory`] for a folder, [`ErrorKind::InvalidInput`] for a pipe, a
/// device or a socket, and [`ErrorKind::FileTooLarge`] beyond `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let (mut bytes, length) = (Vec::new(), file.metadata()?.len());
    if length <= most {
        bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
        // The file may grow meanwhile, and files of the system such as those in `/proc` report a length of 0.
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    }
    match length > most || bytes.len() as u64 > most {
        true => Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it is longer than {most} bytes, the most that is read"),
        )),
        false => Ok(bytes),
    }
}

/// Reads a whole text file.
///
/// # Errors
/// Same as [`read`]; also [`ErrorKind::InvalidData`] if the file is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Opens a file for reading, without blocking.
///
/// # Errors
/// Same as [`read`], except for the length.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a device may have side effects: check the path first, and then that the opened file is of the same kind.
    check(&path.metadata()?)?;
    let file = opened(OpenOptions::new().read(true), path, false)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Opens a lock file, and creates it if `make` is set. Where others can write, this name may be a link to somebody's
/// file, or a pipe: links are not followed, and pipes do not block.
///
/// # Errors
/// Returns the system's error; [`ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open_lock(path: &Path, make: bool) -> io::Result<File> {
    if let Ok(found) = path.symlink_metadata() {
        check(&found)?;
    }
    let file = opened(OpenOptions::new().read(true).write(true).create(make).truncate(false), path, true)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(found: &Metadata) -> io::Result<()> {
    match (found.is_file(), found.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder, not a file")),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

#[cfg(unix)]
fn opened(options: &mut OpenOptions, path: &Path, itself: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let follow = if itself { libc::O_NOFOLLOW } else { 0 };
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | follow).open(path)
}

#[cfg(not(unix))]
fn opened(options: &mut OpenOptions, path: &Path, _itself: bool) -> io::Result<File> {
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "words\n").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"words\n");
        let long = read(&path, 5).unwrap_err();
        assert!(long.kind() == ErrorKind::FileTooLarge && long.to_string().contains("5 bytes"), "{long}");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 6).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read(folder.path(), 6).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(read(&folder.path().join("none"), 6).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_neither_waited_for_nor_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read(path, 6).unwrap_err();
            assert!(
                error.kind() == ErrorKind::InvalidInput && error.to_string().contains("not a regular file"),
                "{error}"
            );
        }
        assert_eq!(open_lock(&pipe, true).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_is_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("other"), "words").unwrap();
        std::os::unix::fs::symlink(at("other"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("none"), at("dangling")).unwrap();
        for name in ["link", "dangling"] {
            assert_eq!(open_lock(&at(name), true).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
        assert!(!at("none").exists());
        assert_eq!(open_lock(&at("lock"), false).unwrap_err().kind(), ErrorKind::NotFound);
        open_lock(&at("lock"), true).unwrap().try_lock().unwrap();
        open_lock(&at("other"), true).unwrap();
        assert_eq!(std::fs::read(at("other")).unwrap(), b"words", "what is there is left as it is");
    }
}
