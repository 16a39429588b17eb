//! Files that are written atomically: created in a temporary folder next to the target, then renamed to it.
//!
//! A killed run leaves that folder behind. Its creator holds a lock on a file in it, which the system releases with the
//! process: a folder whose lock is free belongs to nobody, and the next run removes it. A file alone would belong to
//! nobody between its creation and its locking; if a folder is removed at that moment, its creator notices and makes
//! another.

use crate::display::progress::Unfinished;
use crate::shared::failure::Failure;
use pdn::{FileError, FileFault, file};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tempfile::{Builder, TempDir, TempPath};

const PREFIX: &str = ".pdn-";
const SUFFIX: &str = ".part";

/// The file that is locked; no picture has this name.
const LOCK: &str = "lock";

/// A file being written in a temporary folder, and its target. Dropping it removes the folder.
pub(crate) struct AtomicFile {
    path: PathBuf,
    target: PathBuf,
    _folder: TempDir,
    // Dropped after the folder: until the folder is gone, an interrupt removes it.
    _unfinished: Unfinished,
    _lock: File,
}

/// The outcome of moving a file to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The file is there.
    There,
    /// Another file appeared there in the meantime and was not changed.
    Taken,
}

/// Writes a file with `make`, which gets a temporary path, and moves it to the target, over another file only with
/// `force`.
pub(crate) fn write(
    target: &Path,
    force: bool,
    make: impl FnOnce(&Path) -> Result<(), FileError>,
) -> Result<(), Failure> {
    let atomic = AtomicFile::new(target)?;
    make(atomic.path()).map_err(|error| atomic.named(error))?;
    match atomic.place(force)? {
        Placed::There => Ok(()),
        Placed::Taken => Err(taken(target)),
    }
}

/// Returns the error for a target that appeared during the work.
pub(crate) fn taken(target: &Path) -> Failure {
    let why = "another process created this file in the meantime, and it was not changed; use --force to overwrite, or choose another name";
    Failure::at(target, why)
}

impl AtomicFile {
    pub(crate) fn new(target: &Path) -> Result<Self, FileError> {
        let fail = |why| FileError { path: target.to_owned(), why };
        if target.is_dir() {
            return Err(fail(FileFault::TargetIsFolder));
        }
        let parent = folder_of(target);
        if !parent.is_dir() {
            return Err(fail(FileFault::NoFolder(parent)));
        }
        let made = Unfinished::begin(|| locked(&parent), |(folder, _)| folder.path());
        let ((folder, lock), unfinished) = made.map_err(|error| fail(written(error)))?;
        let path = folder.path().join(target.file_name().unwrap_or_default());
        Ok(Self { path, target: target.to_owned(), _folder: folder, _unfinished: unfinished, _lock: lock })
    }

    /// Returns the temporary path to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns an error that names the target instead of the temporary path.
    pub(crate) fn named(&self, error: FileError) -> FileError {
        FileError { path: self.target.clone(), ..error }
    }

    /// Moves the file to its target, over another file only with `force`.
    pub(crate) fn place(self, force: bool) -> Result<Placed, FileError> {
        let placed = match force {
            true => fs::rename(&self.path, &self.target),
            false => TempPath::try_from_path(&self.path)
                .and_then(|made| made.persist_noclobber(&self.target).map_err(|error| error.error)),
        };
        match placed {
            Ok(()) => Ok(Placed::There),
            Err(error) if !force && error.kind() == ErrorKind::AlreadyExists => Ok(Placed::Taken),
            Err(error) => Err(FileError { path: self.target.clone(), why: written(error) }),
        }
    }
}

fn written(error: io::Error) -> FileFault {
    FileFault::Io { doing: "written", error }
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Creates a folder with its lock.
fn locked(parent: &Path) -> io::Result<(TempDir, File)> {
    loop {
        // Keep only the kind of an error: it names this folder, which the user does not know.
        let folder = Builder::new().prefix(PREFIX).suffix(SUFFIX).tempdir_in(parent);
        let folder = folder.map_err(|error| io::Error::from(error.kind()))?;
        let path = folder.path().join(LOCK);
        let lock = match file::open_lock(&path, true) {
            Err(error) if error.kind() == ErrorKind::NotFound && parent.is_dir() => continue,
            made => made?,
        };
        // On a file system without locks none is ever free: nothing there counts as abandoned.
        let _ = lock.lock();
        if path.exists() {
            return Ok((folder, lock));
        }
    }
}

/// Removes what killed runs left in a folder.
pub(crate) fn remove_abandoned(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_temporary(&entry.file_name().to_string_lossy())) {
        let folder = entry.path();
        if !folder.is_symlink() && folder.is_dir() {
            remove_if_abandoned(&folder);
        }
    }
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Removes a temporary folder whose lock no process holds. The lock is held meanwhile, in case its creator is about to
/// lock it.
fn remove_if_abandoned(folder: &Path) {
    // Anyone who can write here may have created the folder, with a pipe or a link as its lock: do not remove that.
    let open = || file::open_lock(&folder.join(LOCK), false);
    let lock = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Its creator was killed before the lock existed, or is about to create it, and will make another folder.
            if fs::remove_dir(folder).is_ok() {
                return;
            }
            open()
        }
        lock => lock,
    };
    let is_abandoned = match &lock {
        Ok(lock) => lock.try_lock().is_ok(),
        // It contains more than its lock, which is created first: the lock was already gone when its owner was killed.
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    if is_abandoned {
        let _ = fs::remove_dir_all(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_moved_to_its_target_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.png");
        let make = |text: &str, force: bool| {
            let atomic = AtomicFile::new(&target).unwrap();
            fs::write(atomic.path(), text).unwrap();
            atomic.place(force).unwrap()
        };
        drop(AtomicFile::new(&target).unwrap());
        assert!(names(folder.path()).is_empty());
        assert_eq!((make("one", false), make("two", false)), (Placed::There, Placed::Taken));
        assert_eq!(fs::read_to_string(&target).unwrap(), "one");
        assert_eq!(make("three", true), Placed::There);
        assert_eq!(
            (fs::read_to_string(&target).unwrap(), names(folder.path())),
            ("three".into(), vec!["a.png".into()])
        );
    }

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let held = AtomicFile::new(&at("a.png")).unwrap();
        fs::write(held.path(), b"half").unwrap();
        for left in [".pdn-empty.part", ".pdn-killed.part", ".pdn-unlocked.part", "other.part", ".pdn-other"] {
            fs::create_dir(at(left)).unwrap();
        }
        for file in [".pdn-killed.part/lock", ".pdn-killed.part/b.png", ".pdn-unlocked.part/c.png", ".pdn-file.part"] {
            fs::write(at(file), b"half").unwrap();
        }
        remove_abandoned(folder.path());
        let left = names(folder.path());
        assert_eq!(left.len(), 4, "{left:?}");
        assert!([".pdn-file.part", ".pdn-other", "other.part"].iter().all(|name| left.contains(&(*name).to_owned())));
        held.place(false).unwrap();
        assert_eq!(fs::read(at("a.png")).unwrap(), b"half");
    }

    #[test]
    fn what_comes_to_a_place_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.onnx");
        let made_beside = |path: &Path| {
            fs::write(&target, "other's").unwrap();
            fs::write(path, "own").unwrap();
            Ok(())
        };
        let failure = write(&target, false, made_beside).unwrap_err();
        assert!(
            failure.message.contains("a.onnx: another process") && failure.message.contains("--force"),
            "{failure:?}"
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "other's");
        write(&target, true, made_beside).unwrap();
        assert_eq!((fs::read_to_string(&target).unwrap(), names(folder.path())), ("own".into(), vec!["a.onnx".into()]));
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_lock_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at(".pdn-pipe.part")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at(".pdn-pipe.part/lock")).status().unwrap().success());
        fs::create_dir(at(".pdn-link.part")).unwrap();
        fs::write(at("words"), "words").unwrap();
        std::os::unix::fs::symlink(at("words"), at(".pdn-link.part/lock")).unwrap();
        remove_abandoned(folder.path());
        assert_eq!(names(folder.path()), [".pdn-link.part", ".pdn-pipe.part", "words"]);
    }

    #[test]
    fn makers_and_removers_may_meet() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..2)
                .map(|maker| {
                    let folder = folder.path();
                    scope.spawn(move || {
                        for i in 0..200 {
                            let atomic = AtomicFile::new(&folder.join(format!("{maker}-{i}.png"))).unwrap();
                            fs::write(atomic.path(), b"whole").unwrap();
                            atomic.place(false).unwrap();
                        }
                    })
                })
                .collect();
            while !makers.iter().all(|maker| maker.is_finished()) {
                remove_abandoned(folder.path());
            }
        });
        assert_eq!(names(folder.path()).len(), 400);
    }
}
