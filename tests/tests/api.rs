//! Runs the scenarios of `tests/api` against the server and against the worker at the edge, and compares the two.
//!
//! The worker runs under the real workerd and hands its events to the same server through its queue, so what it
//! accepted is counted where the server's own is.

use std::path::Path;

use protocol::{Key, KeyKind};
use tests::edge::{APPEND_SECRET, Edge};
use tests::scenario::{Target, load, run};
use tests::server::{Folder, Server, create_project};

#[test]
fn server_and_edge_answer_every_scenario_as_written_and_alike() {
    let scenarios = load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/api"))).unwrap();
    assert!(scenarios.len() > 50, "only {} scenarios were found", scenarios.len());

    let folder = Folder::new("api").unwrap();
    let (project, other) = (create_project(folder.path()).unwrap(), create_project(folder.path()).unwrap());
    let secrets = format!("[{APPEND_SECRET:?}]");
    let server = Server::start(folder.path(), &[("RIVULET_EDGE_APPEND_SECRETS", &secrets)]).unwrap();
    let edge = Edge::start(&server, &[&project, &other]).unwrap();
    let unknown_key = Key::from_random(KeyKind::Write, [1; 28]);

    let target = |url, tag| Target {
        url,
        tag,
        server: &server,
        project: &project,
        other: &other,
        unknown_key: unknown_key.reveal(),
    };
    let (of_server, mut faults) = run(&target(&server.url, "server"), &scenarios);
    let (of_edge, faults_of_edge) = run(&target(&edge.url, "worker"), &scenarios);
    faults.extend(faults_of_edge);
    for edge in &of_edge {
        let server = of_server.iter().find(|reply| reply.scenario == edge.scenario);
        if server.is_some_and(|server| server != edge) {
            faults.push(format!("the two differ: {server:?} and {edge:?}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
