//! How fast the log acknowledges, and what share of the disk's own speed that is.
//!
//! `cargo run --release -p queue --example bench_append [-- FOLDER [RECORDS_EACH [RECORD_BYTES]]]`
//!
//! Before each row of the log (1, 8, 64 and 256 threads that each append one record, wait for the answer, and go on), a
//! bare loop of write and fdatasync of one record in one file, as one client without a log would do.
//!
//! How to read it: what the log does is in `per sync`, the records that share an fsync; it can't be more than there are
//! threads, nor than fit 1 MiB. `ratio` is records/s over the bare loop's. Where `ratio` is larger than `per sync`, the
//! rest is the disk's: on some machines one fdatasync takes 0.3 ms or 4 ms depending on what else runs, and `ms/sync`
//! (all the time over all syncs) shows it. Only rows with like `ms/sync` may be compared.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

use queue::{Log, Options, RealDisk};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().map_or_else(|| env::temp_dir().join("rivulet-bench-append"), PathBuf::from);
    let records_each: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let record_bytes: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    fs::create_dir_all(&folder)?;
    println!("{} records of {record_bytes} bytes from each thread, in {}", records_each, folder.display());
    println!(
        "{:>18} {:>10} {:>8} {:>8} {:>7} {:>9} {:>8} {:>7}",
        "", "records/s", "p50 ms", "p99 ms", "fsyncs", "per sync", "ms/sync", "ratio"
    );
    for threads in [1, 8, 64, 256] {
        let bare = bare_loop(&folder.join("bare"), records_each, record_bytes)?;
        bare.print("bare loop", &bare);
        let log_folder = folder.join(format!("log-{threads}"));
        let measured = log(&log_folder, threads, records_each, record_bytes)?;
        measured.print(&format!("log, {threads} threads"), &bare);
        fs::remove_dir_all(&log_folder)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

struct Measured {
    answers: Vec<Duration>,
    took: Duration,
    syncs: u64,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.answers.len() as f64 / self.took.as_secs_f64()
    }

    fn print(&self, name: &str, bare: &Self) {
        let mut answers = self.answers.clone();
        answers.sort_unstable();
        let at = |percent: usize| answers.get(answers.len() * percent / 100).map_or(0.0, Duration::as_secs_f64) * 1e3;
        let (p50, p99, ratio) = (at(50), at(99), self.rate() / bare.rate());
        let per_sync = answers.len() as f64 / self.syncs as f64;
        let sync_ms = self.took.as_secs_f64() * 1e3 / self.syncs as f64;
        println!(
            "{name:>18} {:>10.0} {p50:>8.2} {p99:>8.2} {:>7} {per_sync:>9.1} {sync_ms:>8.2} {ratio:>6.1}x",
            self.rate(),
            self.syncs
        );
    }
}

/// What the disk does when every record has its own sync.
fn bare_loop(path: &Path, records: usize, record_bytes: usize) -> io::Result<Measured> {
    let record = vec![b'x'; record_bytes];
    let mut file = File::create(path)?;
    let mut answers = Vec::new();
    let started = Instant::now();
    for _ in 0..records {
        let asked = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        answers.push(asked.elapsed());
    }
    Ok(Measured { answers, took: started.elapsed(), syncs: records as u64 })
}

fn log(folder: &Path, threads: usize, records: usize, record_bytes: usize) -> Result<Measured, queue::LogError> {
    let (log, _) = Log::open(Arc::new(RealDisk), folder, Options::default())?;
    let started = Instant::now();
    let answers = thread::scope(|scope| {
        let sender = |_| {
            scope.spawn(|| {
                let mut answers = Vec::new();
                for _ in 0..records {
                    let record = vec![b'x'; record_bytes];
                    let asked = Instant::now();
                    if let Err(error) = log.append(vec![record]).wait() {
                        eprintln!("not acknowledged: {error}");
                        break;
                    }
                    answers.push(asked.elapsed());
                }
                answers
            })
        };
        let senders: Vec<_> = (0..threads).map(sender).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap_or_default()).collect()
    });
    Ok(Measured { answers, took: started.elapsed(), syncs: log.state().groups })
}
