//! Measures the look-up of a key, which every request pays at least once: `cargo run --release -p server --example bench_access`.

use std::time::Instant;

use collector::PresentedKey;
use protocol::{Key, KeyKind};
use server::metadata::Metadata;

const ROUNDS: u32 = 200_000;

fn main() -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("rivulet-bench-access-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let metadata = Metadata::open(&dir)?;
    let projects = (0..100).map(|_| metadata.create_project("bench", 0)).collect::<Result<Vec<_>, _>>()?;
    let Some(project) = projects.first() else { return Ok(()) };
    let known = PresentedKey::Ours(project.write.hash());
    let unknown = PresentedKey::Ours(Key::from_random(KeyKind::Write, [1; 28]).hash());
    // {"allowed_operations": ["write"]}, made with PyPI keen 0.7.0 and this secret.
    metadata.import_scope_secret(&project.id, "00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9")?;
    let scoped = PresentedKey::parse(
        "834072ae4c584d40610111a5defced48833b31bb6c9ea2f5845da812d01883505d0dfa1f3a5af7377db258f50e33e30dc9ca34ccc9148ed2c71ad58068601546",
    );
    for (name, key) in [("a known key", &known), ("an unknown key", &unknown), ("a scoped key", &scoped)] {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(metadata.access(Some(&project.id), std::hint::black_box(key))?);
        }
        println!("{name}: {} ns", (start.elapsed() / ROUNDS).as_nanos());
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
