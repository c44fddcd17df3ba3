//! `creamery export --format timm`.

use std::path::Path;

use creamery_export::timm;
use creamery_train::Model;
use serde_json::json;

use crate::answer::Answer;
use crate::error::CommandError;
use crate::overview::Overview;

/// Writes the folder `out`.
pub(super) fn export(out: &Path, path: &Path, model: &Model) -> Result<Answer, CommandError> {
    timm::export(model, out)?;
    let files = timm::FILES.map(|name| out.join(name).display().to_string());
    let architecture = &model.net.architecture;
    let mut overview = Overview::default();
    overview
        .row("model", path.display().to_string())
        .row("architecture", architecture.to_string());
    for (i, file) in files.iter().enumerate() {
        overview.row(if i == 0 { "written" } else { "" }, file);
    }
    let json = json!({
        "kind": "export",
        "format": "timm",
        "model": path.display().to_string(),
        "architecture": architecture,
        "files": files,
    });
    Ok(Answer::done(overview.to_string(), json))
}
