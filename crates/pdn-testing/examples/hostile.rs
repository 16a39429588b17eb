//! Writes the files of `pdn_testing::hostile` to a folder, as large as they can do harm.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("expected the folder to write them in"));
    };
    std::fs::create_dir_all(&folder)?;
    for (name, make) in pdn_testing::hostile::ATTACKS {
        let bytes = make();
        println!("{name}: {} bytes", bytes.len());
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
