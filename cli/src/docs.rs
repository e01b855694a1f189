//! Reference pages from the code; a test holds docs/ to them.

use crate::args::Page;
use crate::open::Failure;
use crate::tell::say_part;

pub fn print(page: Page) -> Result<u8, Failure> {
    say_part!("{}", text(page))?;
    Ok(0)
}

pub fn text(page: Page) -> String {
    match page {
        Page::Config => ingot_project::config::config_reference(),
        Page::Metrics => ingot_telemetry::reference(),
        Page::Codes => ingot_dialect::codes::reference(),
        Page::CrashPoints => ingot_lake::crash::POINTS.iter().map(|point| format!("{point}\n")).collect(),
    }
}
