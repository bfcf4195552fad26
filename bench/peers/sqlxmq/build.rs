//! The crate leaves its tables to the reader: its package holds the files that make them. Here they are put together.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let mut files: Vec<PathBuf> =
        fs::read_dir(package()?.join("migrations"))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.to_string_lossy().ends_with(".up.sql"));
    files.sort();
    let mut sql = String::new();
    for file in files {
        sql.push_str(&fs::read_to_string(file)?);
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.sql"), sql)?;
    println!("cargo::rerun-if-changed=Cargo.lock");
    Ok(())
}

/// Where cargo has put the package.
fn package() -> Result<PathBuf> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.args(["metadata", "--format-version=1", "--locked"]);
    // It fetches every package that it tells of: not those for other platforms.
    let output = cargo.args(["--filter-platform", &env::var("TARGET")?]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    let package = packages.iter().find(|package| package["name"] == "sqlxmq").ok_or("sqlxmq is not there")?;
    let manifest = Path::new(package["manifest_path"].as_str().ok_or("sqlxmq has no manifest")?);
    Ok(manifest.parent().ok_or("sqlxmq is nowhere")?.to_owned())
}
