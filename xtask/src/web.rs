//! Puts the demo's web folder together: two example pages, the two packages, and who to talk to.
//!
//! `up` and the browser tests show the same folder, so what people see is what is tested.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::fingerprint::files_below;
use crate::work::Work;

/// From where in the tree each folder of the site comes.
const PARTS: [(&str, &str); 4] = [
    ("shop", "examples/script-tag"),
    ("dashboard", "examples/customer-dashboard"),
    ("sdk", "npm/sdk/dist"),
    ("charts", "npm/charts/dist"),
];

/// Whom the demo pages talk to, and with which keys.
#[derive(Debug, Clone)]
pub(crate) struct Demo {
    /// The project's id.
    pub(crate) project: String,
    /// A key that may only write.
    pub(crate) write_key: String,
    /// A key that may only read.
    pub(crate) read_key: String,
}

impl Demo {
    /// Reads what `rivulet project create --json` printed.
    pub(crate) fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text.trim()).context("`rivulet project create` did not print JSON")?;
        let field = |name: &str| match value.get(name).and_then(Value::as_str) {
            Some(text) => Ok(text.to_owned()),
            None => bail!("`rivulet project create` printed no {name}"),
        };
        Ok(Self { project: field("project_id")?, write_key: field("write_key")?, read_key: field("read_key")? })
    }

    /// The classic script that the pages load first. Events go to `collector`, queries to `server`.
    fn script(&self, server: &str, collector: &str) -> String {
        let settings = json!({
            "server": server,
            "project": self.project,
            "writeKey": self.write_key,
            "readKey": self.read_key,
        });
        let mut script = format!("window.RIVULET_DEMO = {settings};\n");
        if collector != server {
            let collector = json!(collector);
            script.push_str("// The shop sends to the edge; the dashboard asks the server.\n");
            script.push_str(&format!(
                "if (location.pathname.includes(\"/shop/\")) window.RIVULET_DEMO.server = {collector};\n"
            ));
        }
        script
    }
}

/// Writes the folder anew. Without `demo` the script is left to whoever starts the server.
pub(crate) fn assemble(work: &Work, dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("emptying {}", dir.display()))?;
    }
    for (name, source) in PARTS {
        let from = work.root.join(source);
        let files = files_below(&from, &["node_modules", "README.md"])?;
        if files.is_empty() {
            bail!("{source} is empty or missing: the demo's web folder needs it");
        }
        for file in files {
            let to = dir.join(name).join(file.strip_prefix(&from).unwrap_or(&file));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
            }
            fs::copy(&file, &to).with_context(|| format!("copying {}", file.display()))?;
        }
    }
    Ok(())
}

/// Writes `demo.js` into the folder.
pub(crate) fn introduce(dir: &Path, demo: &Demo, server: &str, collector: &str) -> Result<()> {
    let path = dir.join("demo.js");
    fs::write(&path, demo.script(server, collector)).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Demo;

    const JSON: &str = r#"{"project_id":"p1","master_key":"m","read_key":"r1","write_key":"w1"}"#;

    #[test]
    fn the_master_key_does_not_reach_the_page() {
        let demo = Demo::from_json(JSON).unwrap();
        let script = demo.script("http://127.0.0.1:8080", "http://127.0.0.1:8080");
        assert_eq!(
            script,
            "window.RIVULET_DEMO = {\"project\":\"p1\",\"readKey\":\"r1\",\"server\":\"http://127.0.0.1:8080\",\
             \"writeKey\":\"w1\"};\n"
        );
    }

    #[test]
    fn with_an_edge_the_shop_sends_there() {
        let script = Demo::from_json(JSON).unwrap().script("http://127.0.0.1:8080", "http://127.0.0.1:8787");
        assert!(script.contains("\"/shop/\""), "{script}");
        assert!(script.contains("http://127.0.0.1:8787"), "{script}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = Demo::from_json(r#"{"project_id":"p1"}"#).unwrap_err().to_string();
        assert!(error.contains("write_key"), "{error}");
    }
}
