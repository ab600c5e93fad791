//! The same on the machine's own disk: files, locks and threads as they really are.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, thread};

use protocol::Offset;
use queue::{Disk, Log, LogError, Options, RealDisk};

use crate::support::{all, append, options};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rivulet-queue-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self, options: Options) -> Result<(Log, queue::Recovery), LogError> {
        Log::open(Arc::new(RealDisk), &self.0.join("deep").join("log"), options)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn many_senders_find_all_their_records_after_reopening() {
    let folder = Folder::new("senders");
    let (log, recovery) = folder.open(Options { segment_bytes_max: 64 << 10, ..options() }).unwrap();
    assert_eq!((recovery.segments, recovery.records), (1, 0));
    let mut acknowledged: Vec<(u64, Vec<u8>)> = thread::scope(|scope| {
        let sender = |sender: u8| {
            let log = &log;
            scope.spawn(move || {
                let records = (0..50_u8).map(|number| [vec![sender, number], vec![sender; 500]].concat());
                records.map(|record| (append(log, &record).unwrap(), record)).collect::<Vec<_>>()
            })
        };
        let senders: Vec<_> = (0..8).map(sender).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    acknowledged.sort();
    assert_eq!(all(&log), acknowledged);
    let groups = log.state().groups;
    assert!(groups < 400, "{groups} syncs for 400 appends");
    let consumer = log.consumer("process").unwrap();
    consumer.commit(Offset(200)).unwrap();
    let removed = log.trim().unwrap();
    assert!(removed >= 1);
    drop(log);
    let (log, recovery) = folder.open(options()).unwrap();
    assert_eq!((recovery.cut, recovery.damaged, recovery.next), (None, vec![], Offset(400)));
    let oldest = log.state().oldest.0;
    assert_eq!(all(&log), acknowledged[usize::try_from(oldest).unwrap()..]);
    assert_eq!(log.consumer("process").unwrap().position(), Offset(200));
}

#[test]
fn a_torn_tail_is_cut_from_the_real_file() {
    let folder = Folder::new("torn");
    let (log, _) = folder.open(options()).unwrap();
    append(&log, b"whole").unwrap();
    drop(log);
    let path = folder.0.join("deep/log/00000000000000000000.log");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [whole.clone(), vec![1, 2, 3]].concat()).unwrap();
    let (log, recovery) = folder.open(options()).unwrap();
    let cut = recovery.cut.unwrap();
    assert_eq!((cut.at_byte, cut.bytes), (whole.len() as u64, 3));
    assert_eq!(fs::read(path.with_file_name(cut.saved.unwrap())).unwrap(), [1, 2, 3]);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(all(&log), [(0, b"whole".to_vec())]);
}

#[test]
fn the_folder_is_locked_while_it_is_open() {
    let folder = Folder::new("lock");
    let (log, _) = folder.open(options()).unwrap();
    assert!(matches!(folder.open(options()), Err(LogError::Locked { .. })));
    drop(log);
    assert!(folder.open(options()).is_ok());
}

#[test]
fn the_real_disk_knows_its_free_bytes_and_does_not_repeat_itself() {
    assert!(RealDisk.free_bytes(&std::env::temp_dir()).unwrap() > 0);
    assert_ne!((RealDisk.nonce(), RealDisk.nonce()), (RealDisk.nonce(), RealDisk.nonce()));
    assert!(RealDisk.free_bytes(std::path::Path::new("/no/such/folder")).is_err());
}
