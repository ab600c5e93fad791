//! Tests of the metadata as a whole, and the folder that tests of its parts use.

use protocol::access::{KeyOptions, QueryOptions};
use protocol::{KeyKind, Permit};

use super::*;

/// A folder of its own, removed at the end.
pub(crate) struct Folder(pub(crate) std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rivulet-metadata-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Whether these bytes stand in any of its files.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let files = std::fs::read_dir(&self.0).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn access(metadata: &Metadata, project: &ProjectId, key: &Key) -> Access {
    metadata.access(Some(project), &PresentedKey::Ours(key.hash())).unwrap()
}

fn draft(kind: KeyKind) -> KeyDraft {
    KeyDraft::of_kind(kind, "", KeyOptions::default())
}

#[test]
fn a_project_opens_with_its_own_keys_only() {
    let folder = Folder::new("own");
    let metadata = Metadata::open(&folder.0).unwrap();
    let (a, b) = (metadata.create_project("a", 0).unwrap(), metadata.create_project("b", 0).unwrap());
    assert!(matches!(access(&metadata, &a.id, &a.write), Access::Known(grant) if grant.key.kind == KeyKind::Write));
    assert_eq!(access(&metadata, &a.id, &b.write), Access::UnknownKey);
    assert_eq!(metadata.access(Some(&a.id), &PresentedKey::None).unwrap(), Access::UnknownKey);
    assert_eq!(access(&metadata, &"nowhere".parse().unwrap(), &a.write), Access::UnknownProject);
    let without = metadata.access(None, &PresentedKey::Ours(b.write.hash())).unwrap();
    assert!(matches!(without, Access::Known(grant) if grant.key.project == b.id));
}

#[test]
fn what_another_process_makes_counts_at_once_and_what_it_revokes_soon() {
    let folder = Folder::new("other");
    let (server, command) = (Metadata::open(&folder.0).unwrap(), Metadata::open(&folder.0).unwrap());
    let project = command.create_project("a", 0).unwrap();
    let hash = project.write.hash();
    assert!(matches!(access(&server, &project.id, &project.write), Access::Known(_)));
    let made = command.create_key(&project.id, KeyKind::Read, draft(KeyKind::Read), 0).unwrap();
    assert!(matches!(access(&server, &project.id, &made.key.unwrap()), Access::Known(_)));

    assert!(command.set_active(&project.id, &hash, false).unwrap().is_some());
    assert_eq!(access(&command, &project.id, &project.write), Access::UnknownKey, "its own process knows at once");
    std::thread::sleep(STALE_MAX);
    assert_eq!(access(&server, &project.id, &project.write), Access::UnknownKey);
    assert!(command.set_active(&project.id, &KeyHash::of("nobody's"), false).unwrap().is_none());
    assert!(command.set_active(&project.id, &hash, true).unwrap().is_some());
    assert!(matches!(access(&server, &project.id, &project.write), Access::Known(_)));
}

#[test]
fn no_key_stands_in_the_file_and_who_has_the_secret_is_shown_it_again() {
    let folder = Folder::new("hidden");
    let metadata = Metadata::open(&folder.0).unwrap();
    let project = metadata.create_project("a", 0).unwrap();
    let keys = [project.master, project.read, project.write];
    assert!(keys.iter().all(|key| !folder.holds(key.reveal().as_bytes())));
    let shown: Vec<_> = metadata.keys(&project.id).unwrap().into_iter().map(|key| key.key).collect();
    assert_eq!(shown, keys.map(Some));

    // A copy of the database alone, opened beside another secret.
    drop(metadata);
    std::fs::remove_file(folder.0.join(crate::sealing::FILE)).unwrap();
    let copy = Metadata::open(&folder.0).unwrap();
    assert!(copy.keys(&project.id).unwrap().iter().all(|key| key.key.is_none()));
    assert!(matches!(access(&copy, &project.id, &project.write), Access::Known(_)), "keys work without it");
    let refused = copy.create_key(&project.id, KeyKind::Read, draft(KeyKind::Read), 0);
    assert!(matches!(refused, Err(MetadataError::OtherSecret)), "{refused:?}");
    copy.forget_sealed().unwrap();
    let again = Metadata::open(&folder.0).unwrap();
    assert!(again.create_key(&project.id, KeyKind::Read, draft(KeyKind::Read), 0).is_ok());
}

#[test]
fn a_project_that_shows_keys_once_keeps_none() {
    let folder = Folder::new("once");
    let metadata = Metadata::open(&folder.0).unwrap();
    let once = ProjectDraft { name: "a", show_once: true, organization: None };
    let (once, kept) = (metadata.make_project(&once, 0).unwrap(), metadata.create_project("b", 0).unwrap());
    let shown = |project: &ProjectId| metadata.keys(project).unwrap().iter().filter(|key| key.key.is_some()).count();
    assert_eq!((shown(&once.id), shown(&kept.id)), (0, 3));
    let sealed: Vec<u8> = metadata
        .lock()
        .query_row("SELECT sealed FROM key WHERE project = ?1", [kept.id.as_str()], |row| row.get(0))
        .unwrap();
    assert!(folder.holds(&sealed));
    metadata.show_once(&kept.id, true).unwrap();
    assert_eq!(shown(&kept.id), 0);
    assert!(!folder.holds(&sealed), "a sealed key is still on the disk");
    assert!(matches!(access(&metadata, &kept.id, &kept.write), Access::Known(_)));
}

#[test]
fn a_key_needs_a_project_that_exists() {
    let folder = Folder::new("needs");
    let metadata = Metadata::open(&folder.0).unwrap();
    assert!(metadata.create_key(&"nowhere".parse().unwrap(), KeyKind::Read, draft(KeyKind::Read), 0).is_err());
}

#[test]
fn settings_and_options_reach_the_next_look_up() {
    let folder = Folder::new("settings");
    let metadata = Metadata::open(&folder.0).unwrap();
    let project = metadata.create_project("a", 0).unwrap();
    let settings = ProjectSettings { redirect_hosts: vec!["a.example".to_owned()], ..ProjectSettings::default() };
    metadata.put_settings(&project.id, &settings).unwrap();
    let Access::Known(grant) = access(&metadata, &project.id, &project.write) else { panic!("unknown") };
    assert_eq!(*grant.settings, settings);

    let key = metadata.create_key(&project.id, KeyKind::Access, draft(KeyKind::Access), 0).unwrap();
    let filters = vec![serde_json::from_str(r#"{"property_name":"a","operator":"eq","property_value":1}"#).unwrap()];
    let options = KeyOptions { queries: Some(QueryOptions { filters }), ..KeyOptions::default() };
    let replaced = KeyDraft { name: "b".to_owned(), is_active: true, permitted: vec![Permit::Queries], options };
    let hash = key.hash.parse().unwrap();
    metadata.replace_key(&project.id, &hash, &replaced).unwrap().unwrap();
    let Access::Known(grant) = access(&metadata, &project.id, &key.key.unwrap()) else { panic!("unknown") };
    assert_eq!((grant.key.may(Permit::Queries), grant.key.query_filters().len()), (true, 1));
    assert_eq!(metadata.key(&project.id, &hash).unwrap().unwrap().name, "b");
    assert!(metadata.drop_key(&project.id, &hash, 0).unwrap());
    assert!(!metadata.drop_key(&project.id, &hash, 0).unwrap());
    assert_eq!(access(&metadata, &project.id, &key.key.unwrap()), Access::UnknownKey);
}

#[test]
fn the_edge_is_told_of_every_key_and_of_those_that_are_gone() {
    let folder = Folder::new("publish");
    let metadata = Metadata::open(&folder.0).unwrap();
    let project = metadata.create_project("a", 0).unwrap();
    metadata.set_active(&project.id, &project.read.hash(), false).unwrap();
    metadata.drop_key(&project.id, &project.write.hash(), 0).unwrap();
    let pairs = metadata.published().unwrap();
    let find = |name: &str| pairs.iter().find(|pair| pair.key == name).unwrap();
    let settings: ProjectSettings = serde_json::from_str(&find(&format!("project:{}", project.id)).value).unwrap();
    assert_eq!(settings, ProjectSettings::default());
    for (key, is_active, ttl) in
        [(project.master, true, None), (project.read, false, None), (project.write, false, Some(86_400))]
    {
        let pair = find(&format!("key:{}", key.hash().to_hex()));
        let record: KeyRecord = serde_json::from_str(&pair.value).unwrap();
        assert_eq!((record.is_active, pair.expiration_ttl), (is_active, ttl), "{key:?}");
    }
    assert_eq!(pairs.len(), 4);
}

#[test]
fn a_scoped_key_opens_its_own_project_while_its_master_key_works() {
    let folder = Folder::new("scoped");
    let metadata = Metadata::open(&folder.0).unwrap();
    let (a, b) = (metadata.create_project("a", 0).unwrap(), metadata.create_project("b", 0).unwrap());
    // {"allowed_operations": ["write"]}, made with PyPI keen 0.7.0 and this secret.
    let secret = "00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9";
    let text = "834072ae4c584d40610111a5defced48833b31bb6c9ea2f5845da812d01883505d0dfa1f3a5af7377db258f50e33e30dc9ca34ccc9148ed2c71ad58068601546";
    let scoped = PresentedKey::parse(text);
    assert!(matches!(scoped, PresentedKey::Scoped(_)));
    assert_eq!(metadata.access(Some(&a.id), &scoped).unwrap(), Access::UnknownKey);
    metadata.import_scope_secret(&a.id, secret).unwrap();
    for _ in 0..2 {
        let found = metadata.access(Some(&a.id), &scoped).unwrap();
        assert!(
            matches!(found, Access::Known(grant) if grant.key.may(Permit::Writes) && !grant.key.may(Permit::Queries))
        );
    }
    assert_eq!(metadata.access(Some(&b.id), &scoped).unwrap(), Access::UnknownKey);
    assert_eq!(metadata.access(None, &scoped).unwrap(), Access::UnknownKey);
    assert!(!folder.holds(secret.as_bytes()));
    metadata.show_once(&a.id, true).unwrap();
    assert_eq!(metadata.access(Some(&a.id), &scoped).unwrap(), Access::UnknownKey, "its secret is gone");
}
