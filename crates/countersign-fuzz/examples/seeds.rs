//! Writes what a target begins with: `seeds TARGET FOLDER`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let folder = PathBuf::from(arguments.next().unwrap_or_default());
    let target = countersign_fuzz::target(&name)
        .ok_or_else(|| std::io::Error::other(format!("`{name}` is no target")))?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
