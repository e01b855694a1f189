//! The shipped project: what `init` writes, and what `demo` runs without a project folder.

/// Path below the project's folder, and text.
pub const FILES: &[(&str, &str)] = &[
    ("ingot.toml", include_str!("../../sql/ingot.toml")),
    ("bronze/vehicle_events.sql", include_str!("../../sql/bronze/vehicle_events.sql")),
    ("silver/vehicle_events.sql", include_str!("../../sql/silver/vehicle_events.sql")),
    ("gold/stats.sql", include_str!("../../sql/gold/stats.sql")),
];

/// Writes the project into a folder.
///
/// # Errors
/// A file that exists already, or that cannot be written.
pub fn write(dir: &std::path::Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let mut written = vec![];
    for (path, text) in FILES {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}
